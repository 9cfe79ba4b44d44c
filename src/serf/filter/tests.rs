use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn matches(expression: &str, text: &str) -> bool {
    compile(expression).unwrap_or_else(|error| panic!("{expression}: {error}")).is_match(text)
}

#[test]
fn go_expressions_mean_what_they_mean_in_go() {
    // expression, text, match
    for (expression, text, expected) in [
        ("lb", "web-lb-1", true),
        ("^lb$", "lb", true),
        ("^lb$", "lb\n", false),
        ("web|lb", "lb", true),
        ("", "", true),
        (r"^\Qa.b[\E$", "a.b[", true),
        (r"^\Qa.b\E$", "axb", false),
        (r"\Qa.b", "xa.bx", true),
        (r"^a\Eb$", "ab", true),
        (r"^\Q\\E$", "\\", true),
        (r"^\d+$", "2024", true),
        (r"^\d+$", "٣", false),
        (r"^\w+$", "abc_1", true),
        (r"^\w+$", "é", false),
        (r"^[\d]+$", "12", true),
        (r"^[\D]+$", "ab", true),
        (r"^\S+$", "a\u{a0}b", true),
        (r"\bweb\b", "a web b", true),
        (r"^[[]$", "[", true),
        (r"^[]a]+$", "]a", true),
        (r"^[^]]$", "x", true),
        (r"^[a&&b]+$", "a&b", true),
        (r"^[+--]+$", "+,-", true),
        (r"^[a~~b]+$", "~", true),
        (r"^[[:alpha:]]+$", "abc", true),
        (r"^[[:^alpha:]]+$", "12", true),
        (r"^[[:]+$", "[:", true),
        ("^a{2}$", "aa", true),
        ("^a{2,}$", "aaa", true),
        ("^a{,2}$", "a{,2}", true),
        ("^a{$", "a{", true),
        ("^a{x}$", "a{x}", true),
        ("^a{10,100}$", "aaaaaaaaaa", true),
        ("a{00000000000000000000002}", "aa", false),
        (r"^\<a\>$", "<a>", true),
        (r"^\x41\x{1F600}$", "A😀", true),
        (r"^\101$", "A", true),
        (r"(?i)WEB", "web", true),
        (r"(?P<name>a)", "a", true),
        (r"(?s)a.b", "a\nb", true),
        (r"a.b", "a\nb", false),
        (r"^\pL+$", "é", true),
        (r"^\.\-\/$", ".-/", true),
        (r"(?U)^a+$", "aa", true),
    ] {
        assert_eq!(matches(expression, text), expected, "{expression} on {text:?}");
    }
}

#[test]
fn wrong_expressions_are_refused_not_fatal() {
    for expression in ["(", "[a", "a**b(", r"\", r"\Q\E(", "[z-a]", "(?<", r"\p{Nonsense}", r"a{3,2}"] {
        assert!(compile(expression).is_err(), "{expression}");
    }
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    for (expression, text) in [("a(", "unclosed group"), ("[a", "unclosed character class")] {
        for compile in [compile, compile_whole] {
            assert_eq!(compile(expression).unwrap_err(), ExpressionError::Syntax(text.to_owned()));
        }
    }
}

#[test]
fn whole_texts_are_matched_alternatives_and_open_quotes_included() {
    for (expression, text, expected) in [
        ("web|api", "api", true),
        ("web|api", "web2", false),
        ("web|api", "my-api", false),
        ("web", "web\n", false),
        ("", "", true),
        ("", "a", false),
        (r"\Qa.b", "a.b", true),
        (r"\Qa.b", "axb", false),
    ] {
        assert_eq!(compile_whole(expression).unwrap().is_match(text), expected, "{expression} on {text:?}");
    }
    assert!(compile_whole("a)|(b").is_err());
    assert!(compile_whole(&"a".repeat(MAX_EXPRESSION_BYTES)).is_ok());
}

#[test]
fn costly_expressions_are_refused() {
    let nested = format!("{}a{}", "(".repeat(400), ")".repeat(400));
    for expression in ["((a{100}){100}){100}", r"(\pL{1000}){1000}", &nested, &"a".repeat(MAX_EXPRESSION_BYTES + 1)] {
        assert!(compile(expression).is_err(), "{expression:.40}");
    }
    assert!(compile(&"a".repeat(MAX_EXPRESSION_BYTES)).is_ok());
}

fn run(filters: &[Filter]) -> Match {
    let tags = Tags::from([("role".into(), "lb".into())]);
    passes(filters, &NodeName::new("n1").unwrap(), || tags)
}

fn tag(tag: &str, expr: &str) -> Filter {
    Filter::Tag { tag: tag.into(), expr: expr.into() }
}

fn nodes(names: &[&str]) -> Filter {
    Filter::Nodes(names.iter().map(ToString::to_string).collect())
}

#[test]
fn all_filters_must_pass() {
    for (filters, expected) in [
        (vec![], Match::Yes),
        (vec![nodes(&["n1", "n2"])], Match::Yes),
        (vec![nodes(&["n2"])], Match::No),
        (vec![nodes(&[])], Match::No),
        (vec![nodes(&["N1"])], Match::No),
        (vec![tag("role", "l")], Match::Yes),
        (vec![tag("role", "^l$")], Match::No),
        (vec![tag("dc", "^$")], Match::Yes),
        (vec![tag("dc", ".")], Match::No),
        (vec![nodes(&["n1"]), tag("role", "lb")], Match::Yes),
        (vec![nodes(&["n1"]), tag("role", "web")], Match::No),
        (vec![tag("role", "(")], Match::Invalid),
        (vec![Filter::Unknown(Bytes::new())], Match::Invalid),
        (vec![Filter::Unknown(Bytes::from_static(b"\x07\x90"))], Match::Invalid),
        (vec![nodes(&["n1"]), Filter::Unknown(Bytes::new())], Match::Invalid),
        (vec![nodes(&["n1"]); MAX_FILTERS], Match::Yes),
        (vec![nodes(&["n1"]); MAX_FILTERS + 1], Match::Invalid),
    ] {
        assert_eq!(run(&filters), expected, "{filters:?}");
    }
}

proptest! {
    #[test]
    fn any_expression_compiles_or_is_refused(expression in "\\PC{0,40}") {
        let _ = compile(&expression);
    }

    #[test]
    fn any_quoted_text_matches_itself(text in "[^\\\\]{0,30}") {
        let regex = compile(&format!("^\\Q{text}\\E$")).unwrap();
        prop_assert!(regex.is_match(&text));
    }

    #[test]
    fn expressions_of_special_characters_compile_or_are_refused(expression in r"[\[\]\^\\\-&~{},:()QEdwsb<>|*+?a0]{0,24}") {
        let _ = compile(&expression);
    }
}
