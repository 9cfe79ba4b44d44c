use super::*;

#[test]
fn a_target_is_a_path_that_goes_into_a_request_as_it_is() {
    for text in ["/", "/a/b", "/status?full=1&x", "/a%20b"] {
        assert_eq!(Target::parse(text).unwrap().text(), text);
    }
    let long = format!("/{}", "x".repeat(MAX_TEXT_BYTES));
    for text in ["", "a", "/a b", "/a\r\nX: y", "/a#b", "http://a/", "*", "/\u{7f}", &long] {
        assert!(Target::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn only_an_answer_of_the_service_itself_vouches() {
    let banner = |text: &str| ExpressionText::parse(text).unwrap().0;
    // expect      vouches
    for (expect, vouches) in [("", false), ("^220 ", true)] {
        let tcp = Service::Tcp(Tcp { expect: banner(expect), send_proxy: None });
        assert_eq!(tcp.vouches(), vouches, "{expect}");
    }
}

#[test]
fn an_expression_matches_anywhere_and_bytes_that_are_no_text_do_not_hurt() {
    let expression = ExpressionText::parse("o[kK]$").unwrap().0.unwrap();
    assert!(expression.matches(b"all ok") && expression.matches(b"\xff\xfe oK"));
    assert!(!expression.matches(b"ok.") && !expression.matches(b""));
}

#[test]
fn a_header_never_shows_its_value() {
    let item = Item::new(crate::config::tree::Value::Text("Bearer s3cret".to_owned()), Default::default());
    let HeaderText(value) = HeaderText::read(&item).ok().unwrap();
    assert_eq!(format!("{value:?}"), "Sensitive");
    assert_eq!(HeaderText(value).write(), "(hidden)");
    let item = Item::new(crate::config::tree::Value::Text("s3cret\r\nX: y".to_owned()), Default::default());
    let wrongs = HeaderText::read(&item).err().unwrap();
    assert_eq!(wrongs[0].value, "(hidden)");
}
