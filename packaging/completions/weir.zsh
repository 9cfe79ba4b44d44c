#compdef weir

autoload -U is-at-least

_weir() {
    typeset -A opt_args
    typeset -a _arguments_options
    local ret=1

    if is-at-least 5.2; then
        _arguments_options=(-s -S -C)
    else
        _arguments_options=(-s -C)
    fi

    local context curcontext="$curcontext" state line
    _arguments "${_arguments_options[@]}" : \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-v[Print the version]' \
'--version[Print the version]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
":: :_weir_commands" \
"*::: :->weir" \
&& ret=0
    case $state in
    (weir)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:weir-command-$line[1]:"
        case $line[1] in
            (access)
_arguments "${_arguments_options[@]}" : \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
'*::paths -- Files and directories:_files' \
&& ret=0
;;
(agent)
_arguments "${_arguments_options[@]}" : \
'*--config-file=[Configuration\: TOML, or Serf'\''s JSON; repeatable \[env\: WEIR_CONFIG\]]:FILE:_files' \
'*--config-dir=[Directory of .toml and .json files, read by name; repeatable]:DIR:_files' \
'*--node=[Name of this node, unique in the cluster \[node.name\]]:NAME:_default' \
'*--tag=[Tag of this node; repeatable \[node.tags\]]:KEY=VALUE:_default' \
'*--role=[Serf'\''s tag \`role\`; --tag role=ROLE says the same]:ROLE:_default' \
'*--tags-file=[Serf'\''s file of tags, imported once]:FILE:_default' \
'*--bind=[Address or interface to listen on for gossip \[gossip.bind\]]:ADDRESS:_default' \
'*--iface=[Interface to listen on for gossip, if not named in --bind]:NAME:_default' \
'*--advertise=[Address that others use \[gossip.advertise\]]:ADDRESS:_default' \
'*--join=[Join this member, or stop if none answers; repeatable]:ADDRESS:_default' \
'*--retry-join=[Join this member, trying until it answers; repeatable \[gossip.join\]]:ADDRESS:_default' \
'*--retry-interval=[Time between two tries \[gossip.join_retry_interval\]]:DURATION:_default' \
'*--retry-max=[Most tries; 0 is no limit \[gossip.join_retry_max\]]:COUNT:_default' \
'*--replay=[Deliver user events older than our join \[gossip.replay_on_join\]]::BOOL:_default' \
'*--discover=[Find and join peers of this name by mDNS \[gossip.discover\]]:NAME:_default' \
'*--mdns-iface=[Serf'\''s; the interface comes from --bind]:NAME:_default' \
'*--mdns-disable-ipv4=[]::BOOL:_default' \
'*--mdns-disable-ipv6=[]::BOOL:_default' \
'*--profile=[Timing\: lan, wan or local \[gossip.profile\]]:PROFILE:_default' \
'*--protocol=[Version of the Serf protocol, 2 to 5]:VERSION:_default' \
'*--label=[memberlist label, the same on every node \[gossip.label\]]:LABEL:_default' \
'*--disable-compression=[Send messages uncompressed \[gossip.compression\]]::BOOL:_default' \
'*--broadcast-timeout=[Longest wait for a leave to be heard \[gossip.broadcast_timeout\]]:DURATION:_default' \
'*--keyring-file=[File with the keys for gossip \[encryption.keyring\]]:FILE:_default' \
'*--encrypt=[Key for gossip; others can see it in the process list]:KEY:_default' \
'*--seal=[Envelope\: auto, session, memberlist or off \[encryption.seal\]]:SEAL:_default' \
'*--snapshot=[File to rejoin from after a restart \[snapshot.path\]]:FILE:_default' \
'*--rejoin=[Rejoin also after a leave \[snapshot.rejoin_after_leave\]]::BOOL:_default' \
'*--event-handler=[Script for events, \[FILTER=\]COMMAND; repeatable \[handler.*\]]:HANDLER:_default' \
'*--rpc-addr=[Address to listen on for RPC \[rpc.listen\]]:ADDRESS:_default' \
'*--rpc-socket=[Unix socket to listen on for RPC \[rpc.socket\]]:PATH:_default' \
'*--rpc-token-file=[File with the token of RPC clients \[rpc.token_file\]]:FILE:_default' \
'*--rpc-auth=[Token of RPC clients; others can see it in the process list]:TOKEN:_default' \
'*--log-level=[Least level of log lines, or per part \[log.level\]]:LEVEL:_default' \
'*--log-format=[Where and how to log\: auto, journald, text or json \[log.format\]]:FORMAT:_default' \
'*--syslog=[Serf'\''s; logs go to the journal]::BOOL:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--check[Check the configuration and exit]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(apply)
_arguments "${_arguments_options[@]}" : \
'--config-file=[The configuration, which only root may write, and NAME.d/*.toml beside it]:PATH:_files' \
'--state=[Where the copy of the configuration applied last is kept]:DIRECTORY:_files' \
'(--recover)--socket=[Listen here, where systemd does not hand over a socket]:PATH:_files' \
'--user=[Who may ask besides root]:NAME:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--recover[Settle the files of an apply that was cut short, and exit\: before NGINX starts]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(status)
_arguments "${_arguments_options[@]}" : \
'--for=[Look at one part alone\: nginx, which is well while NGINX runs here and serves a confirmed generation (for keepalived), or cluster, which is gossip and keys]:PART:(nginx cluster)' \
'--watch=[Show it again whenever it changes, looking this often]::INTERVAL:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(upstream)
_arguments "${_arguments_options[@]}" : \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
":: :_weir__subcmd__upstream_commands" \
"*::: :->upstream" \
&& ret=0

    case $state in
    (upstream)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:weir-upstream-command-$line[1]:"
        case $line[1] in
            (show)
_arguments "${_arguments_options[@]}" : \
'--watch=[Show it again whenever it changes, looking this often]::INTERVAL:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--wide[Do not cut long lines on a terminal]' \
'--header[Name the columns also in a pipe]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
'::upstream -- Only this upstream:_default' \
&& ret=0
;;
(explain)
_arguments "${_arguments_options[@]}" : \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
':member -- The member'\''s name:_default' \
&& ret=0
;;
(plan)
_arguments "${_arguments_options[@]}" : \
'*--fail=[A member that gossip has lost and whose service answers nobody]:MEMBER:_default' \
'*--drain=[A member that wants no new requests]:MEMBER:_default' \
'*--critical=[A member whose checks are critical]:MEMBER:_default' \
'*--join=[A member that joins and is well, with what matters of its tags\: web3,port=8080,weight=2; addr=10.77.0.14 says where it is]:MEMBER[,TAG=VALUE]…:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(history)
_arguments "${_arguments_options[@]}" : \
'-n+[Most of them; 0 for all that are kept]:COUNT:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--wide[Do not cut long lines on a terminal]' \
'--header[Name the columns also in a pipe]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(diff)
_arguments "${_arguments_options[@]}" : \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'::from -- The generation, or the one to start from:_default' \
'::to -- The generation to arrive at:_default' \
&& ret=0
;;
(rollback)
_arguments "${_arguments_options[@]}" : \
'--reason=[Why, for whoever finds it held]:TEXT:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--force[Even to one that has no server for an upstream]' \
'--quiet[No notices and no progress]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'::generation -- That generation; without it, the one before the one in place:_default' \
&& ret=0
;;
(hold)
_arguments "${_arguments_options[@]}" : \
'--reason=[Why, for whoever finds it held]:TEXT:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'::upstream -- Only this one:_default' \
&& ret=0
;;
(release)
_arguments "${_arguments_options[@]}" : \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
'::upstream -- Only this one:_default' \
&& ret=0
;;
(render)
_arguments "${_arguments_options[@]}" : \
'*--config-file=[Configuration\: TOML, or Serf'\''s JSON; repeatable \[env\: WEIR_CONFIG\]]:FILE:_files' \
'*--config-dir=[Directory of .toml and .json files, read by name; repeatable]:DIR:_files' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--candidate[Have NGINX test its whole configuration with it, too; what serves is not touched]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
'::upstream -- Only this upstream:_default' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_weir__subcmd__upstream__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:weir-upstream-help-command-$line[1]:"
        case $line[1] in
            (show)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(explain)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(plan)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(history)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(diff)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(rollback)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(hold)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(release)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(render)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(explain)
_arguments "${_arguments_options[@]}" : \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
':member -- The member'\''s name:_default' \
&& ret=0
;;
(check)
_arguments "${_arguments_options[@]}" : \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
":: :_weir__subcmd__check_commands" \
"*::: :->check" \
&& ret=0

    case $state in
    (check)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:weir-check-command-$line[1]:"
        case $line[1] in
            (list)
_arguments "${_arguments_options[@]}" : \
'--watch=[Show it again whenever it changes, looking this often]::INTERVAL:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--wide[Do not cut long lines on a terminal]' \
'--header[Name the columns also in a pipe]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(pass)
_arguments "${_arguments_options[@]}" : \
'--output=[Why, for whoever looks]:TEXT:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
'::name -- Which check; not needed where only one has a ttl:_default' \
&& ret=0
;;
(warn)
_arguments "${_arguments_options[@]}" : \
'--output=[Why, for whoever looks]:TEXT:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
'::name -- Which check; not needed where only one has a ttl:_default' \
&& ret=0
;;
(fail)
_arguments "${_arguments_options[@]}" : \
'--output=[Why, for whoever looks]:TEXT:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
'::name -- Which check; not needed where only one has a ttl:_default' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_weir__subcmd__check__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:weir-check-help-command-$line[1]:"
        case $line[1] in
            (list)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(pass)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(warn)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(fail)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(members)
_arguments "${_arguments_options[@]}" : \
'--name=[Only members whose name matches (a full match)]:REGEX:_default' \
'--status=[Only members whose status matches\: alive, leaving, left, failed]:REGEX:_default' \
'*--tag=[Only members whose tag matches; repeatable, all must match]:KEY=REGEX:_default' \
'--role=[Only members whose tag \`role\` matches]:REGEX:_default' \
'--health=[Only members whose health matches\: passing, warning, critical, silent, wait, none]:REGEX:_default' \
'--watch=[Show the list again whenever it changes, looking this often]::INTERVAL:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--detailed[Show protocol versions, too]' \
'--wide[Do not cut long lines on a terminal]' \
'--header[Name the columns also in a pipe]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(health)
_arguments "${_arguments_options[@]}" : \
'--watch=[Show it again whenever it changes, looking this often]::INTERVAL:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--self[This node alone, with each of its checks]' \
'--wide[Do not cut long lines on a terminal]' \
'--header[Name the columns also in a pipe]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(join)
_arguments "${_arguments_options[@]}" : \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--replay[Deliver user events that are older than the join, too]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
'*::addresses -- Members to contact\: HOST or HOST\:PORT:_default' \
&& ret=0
;;
(drain)
_arguments "${_arguments_options[@]}" : \
'--reason=[Why, for whoever looks]:TEXT:_default' \
'()--guard=[For the guard of this application'\''s unit\: mark the drain as its own, unless that unit goes on; without an agent there is nothing to do]::UNIT:_default' \
'()--if-guard=[For the guard of this application'\''s unit\: take back what it alone asked for, or without a name what guards asked for; without an agent there is nothing to do]::UNIT:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'(--force --no-wait --guard --reason)--undo[Take it back\: the node serves again]' \
'--no-wait[Do not wait for the balancers; it stays draining until it is undone]' \
'--force[Stay draining although a balancer would have too few servers\: out as soon as there is another]' \
'--quiet[No notices and no progress]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'::member -- Another node, which obeys if its leave.remote_drain is true:_default' \
&& ret=0
;;
(leave)
_arguments "${_arguments_options[@]}" : \
'--drain-time=[Longest wait for requests on their way \[leave.drain_time\]; 0s\: no drain]:DURATION:_default' \
'--timeout=[For all of it \[leave.timeout\]; then it leaves anyway, naming who did not confirm]:DURATION:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'(--drain-time --timeout)--on-stop[For the unit'\''s ExecStop=\: leave if the unit is stopped and leave.on_stop says so, not if it is restarted; ends with 0]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(force-leave)
_arguments "${_arguments_options[@]}" : \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--prune[Also forget it at once]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
':member -- The member:_default' \
&& ret=0
;;
(event)
_arguments "${_arguments_options[@]}" : \
'--payload-file=[Read the payload from a file, or from standard input with -]:FILE:_files' \
'--coalesce=[Whether receivers may keep only the newest event of a name]::BOOL:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
':name -- The event'\''s name; handlers filter by it:_default' \
'::payload -- What it carries:_default' \
&& ret=0
;;
(query)
_arguments "${_arguments_options[@]}" : \
'*--node=[Only ask this member; repeatable]:MEMBER:_default' \
'*--tag=[Only ask members whose tag matches; repeatable, all must match]:KEY=REGEX:_default' \
'--timeout=[How long to wait; the agent'\''s default depends on the size of the cluster]:DURATION:_default' \
'--relay-factor=[How many other members relay each answer, against loss]:COUNT:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--no-ack[Do not ask for acknowledgements]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
':name -- The query'\''s name; handlers filter by it:_default' \
'::payload -- What it carries:_default' \
&& ret=0
;;
(tags)
_arguments "${_arguments_options[@]}" : \
'*--set=[Set a tag; repeatable]:KEY=VALUE:_default' \
'*--delete=[Remove a tag if it is there; repeatable]:KEY:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(keys)
_arguments "${_arguments_options[@]}" : \
'--install=[Serf'\''s spelling of \`install\`; others can see the key in the process list]:KEY:_default' \
'--use=[Serf'\''s spelling of \`use\`]:KEY:_default' \
'--remove=[Serf'\''s spelling of \`remove\`]:KEY:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--list[Serf'\''s spelling of \`list\`]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
":: :_weir__subcmd__keys_commands" \
"*::: :->keys" \
&& ret=0

    case $state in
    (keys)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:weir-keys-command-$line[1]:"
        case $line[1] in
            (list)
_arguments "${_arguments_options[@]}" : \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--header[Name the columns also in a pipe]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(install)
_arguments "${_arguments_options[@]}" : \
'--file=[Read the key from this file; standard input (-), the default, is a hidden prompt on a terminal]:FILE:_files' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(use)
_arguments "${_arguments_options[@]}" : \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
':key -- The key'\''s identifier, as `keys list` shows it:_default' \
&& ret=0
;;
(remove)
_arguments "${_arguments_options[@]}" : \
'*--force=[Lock this member out, which has no other key; repeatable]:NAME:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
':key -- The key'\''s identifier, as `keys list` shows it:_default' \
&& ret=0
;;
(status)
_arguments "${_arguments_options[@]}" : \
'--watch=[Show it again whenever it changes, looking this often]::INTERVAL:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--header[Name the columns also in a pipe]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(rotate)
_arguments "${_arguments_options[@]}" : \
'*--absent=[Go on without this member, but remove no key that it has; repeatable]:NAME:_default' \
'*--force=[Lock this member out; repeatable]:NAME:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--dry-run[Only look and say what would happen]' \
'--quiet[No notices and no progress]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
&& ret=0
;;
(export)
_arguments "${_arguments_options[@]}" : \
'*--config-file=[Configuration\: TOML, or Serf'\''s JSON; repeatable \[env\: WEIR_CONFIG\]]:FILE:_files' \
'*--config-dir=[Directory of .toml and .json files, read by name; repeatable]:DIR:_files' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--show[Also on a terminal, where others may look on]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(import)
_arguments "${_arguments_options[@]}" : \
'--file=[Read the key from this file; standard input (-), the default, is a hidden prompt on a terminal]:FILE:_files' \
'*--config-file=[Configuration\: TOML, or Serf'\''s JSON; repeatable \[env\: WEIR_CONFIG\]]:FILE:_files' \
'*--config-dir=[Directory of .toml and .json files, read by name; repeatable]:DIR:_files' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--add[Only hold the key, and go on sealing with the present one]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_weir__subcmd__keys__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:weir-keys-help-command-$line[1]:"
        case $line[1] in
            (list)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(install)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(use)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(remove)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(status)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(rotate)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(export)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(import)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(info)
_arguments "${_arguments_options[@]}" : \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(monitor)
_arguments "${_arguments_options[@]}" : \
'--log-level=[Least level of the lines\: trace, debug, info, warn, err]:LEVEL:_default' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(reachability)
_arguments "${_arguments_options[@]}" : \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--verbose[Show each answer and the times]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(rtt)
_arguments "${_arguments_options[@]}" : \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
':one -- One member:_default' \
'::other -- The other; the agent'\''s own node if left out:_default' \
&& ret=0
;;
(reload)
_arguments "${_arguments_options[@]}" : \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--dry-run[Only say what would change]' \
'--header[Name the columns also in a pipe]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(config)
_arguments "${_arguments_options[@]}" : \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
":: :_weir__subcmd__config_commands" \
"*::: :->config" \
&& ret=0

    case $state in
    (config)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:weir-config-command-$line[1]:"
        case $line[1] in
            (check)
_arguments "${_arguments_options[@]}" : \
'*--config-file=[Configuration\: TOML, or Serf'\''s JSON; repeatable \[env\: WEIR_CONFIG\]]:FILE:_files' \
'*--config-dir=[Directory of .toml and .json files, read by name; repeatable]:DIR:_files' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
'*::files -- Files to read instead of /etc/weir/weir.toml:_files' \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
'*--config-file=[Configuration\: TOML, or Serf'\''s JSON; repeatable \[env\: WEIR_CONFIG\]]:FILE:_files' \
'*--config-dir=[Directory of .toml and .json files, read by name; repeatable]:DIR:_files' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--origin[Say where each value comes from]' \
'--changed[Leave out what is at its default]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
'*::files -- Files to read instead of /etc/weir/weir.toml:_files' \
&& ret=0
;;
(schema)
_arguments "${_arguments_options[@]}" : \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(example)
_arguments "${_arguments_options[@]}" : \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(convert)
_arguments "${_arguments_options[@]}" : \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
':file -- The JSON file:_files' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_weir__subcmd__config__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:weir-config-help-command-$line[1]:"
        case $line[1] in
            (check)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(schema)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(example)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(convert)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(demo)
_arguments "${_arguments_options[@]}" : \
'--for=[Length of the tour; each step waits until NGINX has the one before, so below 20s it takes longer than said]:TIME:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(doctor)
_arguments "${_arguments_options[@]}" : \
'*--only=[Only this group of checks; repeatable\: config, agent, files, clock, ports, gossip, keys, nginx, checks, handlers]:GROUP:_default' \
'*--config-file=[Configuration\: TOML, or Serf'\''s JSON; repeatable \[env\: WEIR_CONFIG\]]:FILE:_files' \
'*--config-dir=[Directory of .toml and .json files, read by name; repeatable]:DIR:_files' \
'--rpc-addr=[Address of the agent'\''s RPC\: HOST\:PORT or unix\:PATH \[env\: WEIR_RPC_ADDR, SERF_RPC_ADDR\]]:ADDRESS:_default' \
'(--rpc-auth)--rpc-token-file=[File that holds the agent'\''s RPC token]:FILE:_files' \
'--rpc-auth=[The agent'\''s RPC token; others can see it in the process list \[env\: SERF_RPC_AUTH\]]:TOKEN:_default' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--strict[Warnings, and checks that were not possible, count as errors]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(init)
_arguments "${_arguments_options[@]}" : \
'--join=[A member of the cluster to join\: HOST or HOST\:PORT; a web server needs one, the first balancer does not]:ADDRESS:_default' \
'--key-file=[File that holds the cluster key, - for standard input; otherwise it is asked for, hidden]:FILE:_files' \
'--name=[This node'\''s name; the host name up to the first dot unless given]:NAME:_default' \
'--address=[The address that the other servers reach; asked for where there are several private ones]:ADDRESS:_default' \
'--port=[The port that this server'\''s web server listens on; found where there is one (web)]:PORT:_default' \
'--role=[The value of the tag role; lb or web unless given]:ROLE:_default' \
'*--tag=[A tag of this node; repeatable]:KEY=VALUE:_default' \
'--upstream=[The name of the upstream that is balanced; web unless given (lb)]:NAME:_default' \
'--unit=[The unit of the application behind this web server; this node drains before that stops (web)]:APP.service:_default' \
'--site=[Whether to put a site on port 80\: auto, where only the distribution'\''s welcome page is, yes or no (lb)]:WHEN:((auto\:"Where port 80 has only the distribution'\''s untouched welcome page, or nothing"
yes\:"Also in place of a welcome page that was edited"
no\:"Not at all"))' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--yes[Also do what touches other software, without asking]' \
'--dry-run[Say what would be done, and change nothing]' \
'--force[Write the configuration anew where there is another, also for another --unit; the old one is kept beside it]' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
':kind -- What this server is to be\: lb, a balancer, or web, a web server:((lb\:"A balancer"
web\:"A web server"))' \
&& ret=0
;;
(sim)
_arguments "${_arguments_options[@]}" : \
'--nodes=[Nodes, all of which know each other at the start]:NODES:_default' \
'--profile=[Timings\: lan, wan or local]:PROFILE:_default' \
'--loss=[Share of datagrams that are lost, "5%"]:LOSS:_default' \
'--delay=[One-way delay between nodes; half of it again is added at random]:DELAY:_default' \
'--kill=[Members killed at once]:KILL:_default' \
'--for=[Virtual length of the run, at least 15s]:TIME:_default' \
'--seed=[Decides everything that is drawn; the same seed gives the same run]:SEED:_default' \
'--plot=[Write the run second by second as an SVG picture]:FILE:_files' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(keygen)
_arguments "${_arguments_options[@]}" : \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(version)
_arguments "${_arguments_options[@]}" : \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(completions)
_arguments "${_arguments_options[@]}" : \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
':shell -- Whose\: bash, zsh or fish:(bash elvish fish powershell zsh)' \
&& ret=0
;;
(man)
_arguments "${_arguments_options[@]}" : \
'--dir=[Write weir.1 and a page for each command into this directory]:DIR:_files' \
'--format=[How to write answers\: text or json]:FORMAT:((text\:"For people\: tables and sentences"
json\:"For programs\: one JSON document"))' \
'--color=[When to colour answers\: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never]:WHEN:((auto\:"On a terminal, unless NO_COLOR is set or TERM is dumb"
always\:"Also in a pipe"
never\:"Not at all"))' \
'--quiet[No notices and no progress]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_weir__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:weir-help-command-$line[1]:"
        case $line[1] in
            (access)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(agent)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(apply)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(status)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(upstream)
_arguments "${_arguments_options[@]}" : \
":: :_weir__subcmd__help__subcmd__upstream_commands" \
"*::: :->upstream" \
&& ret=0

    case $state in
    (upstream)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:weir-help-upstream-command-$line[1]:"
        case $line[1] in
            (show)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(explain)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(plan)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(history)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(diff)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(rollback)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(hold)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(release)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(render)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(explain)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(check)
_arguments "${_arguments_options[@]}" : \
":: :_weir__subcmd__help__subcmd__check_commands" \
"*::: :->check" \
&& ret=0

    case $state in
    (check)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:weir-help-check-command-$line[1]:"
        case $line[1] in
            (list)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(pass)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(warn)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(fail)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(members)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(health)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(join)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(drain)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(leave)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(force-leave)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(event)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(query)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(tags)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(keys)
_arguments "${_arguments_options[@]}" : \
":: :_weir__subcmd__help__subcmd__keys_commands" \
"*::: :->keys" \
&& ret=0

    case $state in
    (keys)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:weir-help-keys-command-$line[1]:"
        case $line[1] in
            (list)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(install)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(use)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(remove)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(status)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(rotate)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(export)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(import)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(info)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(monitor)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(reachability)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(rtt)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(reload)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(config)
_arguments "${_arguments_options[@]}" : \
":: :_weir__subcmd__help__subcmd__config_commands" \
"*::: :->config" \
&& ret=0

    case $state in
    (config)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:weir-help-config-command-$line[1]:"
        case $line[1] in
            (check)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(schema)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(example)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(convert)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(demo)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(doctor)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(init)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(sim)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(keygen)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(version)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(completions)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(man)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
}

(( $+functions[_weir_commands] )) ||
_weir_commands() {
    local commands; commands=(
'access:Say what this process may do with files, as a list in JSON' \
'agent:Run the agent until it is told to stop' \
'apply:Put NGINX'\''s files in place for an agent that may not\: tests them, swaps them, reloads and confirms. Run by weir-apply.socket; ends when nobody asks' \
'status:Tell whether all is well here\: 0, or 8 if something needs attention' \
'upstream:Look at the servers of a balancer, go back, freeze and thaw' \
'explain:Tell why a member is in or out of every upstream\: each rule that was asked, and which of them decides' \
'check:List the checks of this node, and say how one is that has a ttl' \
'members:List the members of the cluster' \
'health:Show how members are, by what they told this node' \
'join:Make the agent join a cluster' \
'drain:Send no new requests to this node, also after a restart, until that is taken back' \
'leave:Make the agent leave the cluster and stop, once no balancer sends it requests' \
'force-leave:Turn a failed member into one that left' \
'event:Send a user event to all members' \
'query:Ask members a question and show their answers' \
'tags:Show the tags of this node, or change them' \
'keys:List or change the cluster'\''s keys' \
'info:Show counters and settings of the agent' \
'monitor:Show the agent'\''s log lines and events as they come' \
'reachability:Test whether every live member answers this node' \
'rtt:Estimate the round trip time between two members' \
'reload:Make the agent read its configuration again' \
'config:Check, show or convert configurations' \
'demo:Show a cluster of one balancer and two web servers on this machine, with real NGINX and real requests' \
'doctor:Look for trouble on this host and around it, and name the remedies' \
'init:Configure this server as a balancer or as a web server, start it, and wait until it truly works' \
'sim:Simulate thousands of nodes in virtual time' \
'keygen:Make a new cluster key\: 32 bytes in base64' \
'version:Print the version' \
'completions:Print the completions for a shell' \
'man:Print the manual page, or write all pages into a directory' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'weir commands' commands "$@"
}
(( $+functions[_weir__subcmd__access_commands] )) ||
_weir__subcmd__access_commands() {
    local commands; commands=()
    _describe -t commands 'weir access commands' commands "$@"
}
(( $+functions[_weir__subcmd__agent_commands] )) ||
_weir__subcmd__agent_commands() {
    local commands; commands=()
    _describe -t commands 'weir agent commands' commands "$@"
}
(( $+functions[_weir__subcmd__apply_commands] )) ||
_weir__subcmd__apply_commands() {
    local commands; commands=()
    _describe -t commands 'weir apply commands' commands "$@"
}
(( $+functions[_weir__subcmd__check_commands] )) ||
_weir__subcmd__check_commands() {
    local commands; commands=(
'list:List the checks of this node, each with its last result' \
'pass:Say that a ttl check passes, for as long as its ttl' \
'warn:Say that a ttl check has something to warn of, for as long as its ttl' \
'fail:Say that a ttl check is critical, at once' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'weir check commands' commands "$@"
}
(( $+functions[_weir__subcmd__check__subcmd__fail_commands] )) ||
_weir__subcmd__check__subcmd__fail_commands() {
    local commands; commands=()
    _describe -t commands 'weir check fail commands' commands "$@"
}
(( $+functions[_weir__subcmd__check__subcmd__help_commands] )) ||
_weir__subcmd__check__subcmd__help_commands() {
    local commands; commands=(
'list:List the checks of this node, each with its last result' \
'pass:Say that a ttl check passes, for as long as its ttl' \
'warn:Say that a ttl check has something to warn of, for as long as its ttl' \
'fail:Say that a ttl check is critical, at once' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'weir check help commands' commands "$@"
}
(( $+functions[_weir__subcmd__check__subcmd__help__subcmd__fail_commands] )) ||
_weir__subcmd__check__subcmd__help__subcmd__fail_commands() {
    local commands; commands=()
    _describe -t commands 'weir check help fail commands' commands "$@"
}
(( $+functions[_weir__subcmd__check__subcmd__help__subcmd__help_commands] )) ||
_weir__subcmd__check__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'weir check help help commands' commands "$@"
}
(( $+functions[_weir__subcmd__check__subcmd__help__subcmd__list_commands] )) ||
_weir__subcmd__check__subcmd__help__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'weir check help list commands' commands "$@"
}
(( $+functions[_weir__subcmd__check__subcmd__help__subcmd__pass_commands] )) ||
_weir__subcmd__check__subcmd__help__subcmd__pass_commands() {
    local commands; commands=()
    _describe -t commands 'weir check help pass commands' commands "$@"
}
(( $+functions[_weir__subcmd__check__subcmd__help__subcmd__warn_commands] )) ||
_weir__subcmd__check__subcmd__help__subcmd__warn_commands() {
    local commands; commands=()
    _describe -t commands 'weir check help warn commands' commands "$@"
}
(( $+functions[_weir__subcmd__check__subcmd__list_commands] )) ||
_weir__subcmd__check__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'weir check list commands' commands "$@"
}
(( $+functions[_weir__subcmd__check__subcmd__pass_commands] )) ||
_weir__subcmd__check__subcmd__pass_commands() {
    local commands; commands=()
    _describe -t commands 'weir check pass commands' commands "$@"
}
(( $+functions[_weir__subcmd__check__subcmd__warn_commands] )) ||
_weir__subcmd__check__subcmd__warn_commands() {
    local commands; commands=()
    _describe -t commands 'weir check warn commands' commands "$@"
}
(( $+functions[_weir__subcmd__completions_commands] )) ||
_weir__subcmd__completions_commands() {
    local commands; commands=()
    _describe -t commands 'weir completions commands' commands "$@"
}
(( $+functions[_weir__subcmd__config_commands] )) ||
_weir__subcmd__config_commands() {
    local commands; commands=(
'check:List all mistakes, each with its place and the way out' \
'show:Print the effective values' \
'schema:Print the JSON Schema of the file' \
'example:Print a file with every key at its default' \
'convert:Print one of Serf'\''s JSON files as TOML' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'weir config commands' commands "$@"
}
(( $+functions[_weir__subcmd__config__subcmd__check_commands] )) ||
_weir__subcmd__config__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'weir config check commands' commands "$@"
}
(( $+functions[_weir__subcmd__config__subcmd__convert_commands] )) ||
_weir__subcmd__config__subcmd__convert_commands() {
    local commands; commands=()
    _describe -t commands 'weir config convert commands' commands "$@"
}
(( $+functions[_weir__subcmd__config__subcmd__example_commands] )) ||
_weir__subcmd__config__subcmd__example_commands() {
    local commands; commands=()
    _describe -t commands 'weir config example commands' commands "$@"
}
(( $+functions[_weir__subcmd__config__subcmd__help_commands] )) ||
_weir__subcmd__config__subcmd__help_commands() {
    local commands; commands=(
'check:List all mistakes, each with its place and the way out' \
'show:Print the effective values' \
'schema:Print the JSON Schema of the file' \
'example:Print a file with every key at its default' \
'convert:Print one of Serf'\''s JSON files as TOML' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'weir config help commands' commands "$@"
}
(( $+functions[_weir__subcmd__config__subcmd__help__subcmd__check_commands] )) ||
_weir__subcmd__config__subcmd__help__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'weir config help check commands' commands "$@"
}
(( $+functions[_weir__subcmd__config__subcmd__help__subcmd__convert_commands] )) ||
_weir__subcmd__config__subcmd__help__subcmd__convert_commands() {
    local commands; commands=()
    _describe -t commands 'weir config help convert commands' commands "$@"
}
(( $+functions[_weir__subcmd__config__subcmd__help__subcmd__example_commands] )) ||
_weir__subcmd__config__subcmd__help__subcmd__example_commands() {
    local commands; commands=()
    _describe -t commands 'weir config help example commands' commands "$@"
}
(( $+functions[_weir__subcmd__config__subcmd__help__subcmd__help_commands] )) ||
_weir__subcmd__config__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'weir config help help commands' commands "$@"
}
(( $+functions[_weir__subcmd__config__subcmd__help__subcmd__schema_commands] )) ||
_weir__subcmd__config__subcmd__help__subcmd__schema_commands() {
    local commands; commands=()
    _describe -t commands 'weir config help schema commands' commands "$@"
}
(( $+functions[_weir__subcmd__config__subcmd__help__subcmd__show_commands] )) ||
_weir__subcmd__config__subcmd__help__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'weir config help show commands' commands "$@"
}
(( $+functions[_weir__subcmd__config__subcmd__schema_commands] )) ||
_weir__subcmd__config__subcmd__schema_commands() {
    local commands; commands=()
    _describe -t commands 'weir config schema commands' commands "$@"
}
(( $+functions[_weir__subcmd__config__subcmd__show_commands] )) ||
_weir__subcmd__config__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'weir config show commands' commands "$@"
}
(( $+functions[_weir__subcmd__demo_commands] )) ||
_weir__subcmd__demo_commands() {
    local commands; commands=()
    _describe -t commands 'weir demo commands' commands "$@"
}
(( $+functions[_weir__subcmd__doctor_commands] )) ||
_weir__subcmd__doctor_commands() {
    local commands; commands=()
    _describe -t commands 'weir doctor commands' commands "$@"
}
(( $+functions[_weir__subcmd__drain_commands] )) ||
_weir__subcmd__drain_commands() {
    local commands; commands=()
    _describe -t commands 'weir drain commands' commands "$@"
}
(( $+functions[_weir__subcmd__event_commands] )) ||
_weir__subcmd__event_commands() {
    local commands; commands=()
    _describe -t commands 'weir event commands' commands "$@"
}
(( $+functions[_weir__subcmd__explain_commands] )) ||
_weir__subcmd__explain_commands() {
    local commands; commands=()
    _describe -t commands 'weir explain commands' commands "$@"
}
(( $+functions[_weir__subcmd__force-leave_commands] )) ||
_weir__subcmd__force-leave_commands() {
    local commands; commands=()
    _describe -t commands 'weir force-leave commands' commands "$@"
}
(( $+functions[_weir__subcmd__health_commands] )) ||
_weir__subcmd__health_commands() {
    local commands; commands=()
    _describe -t commands 'weir health commands' commands "$@"
}
(( $+functions[_weir__subcmd__help_commands] )) ||
_weir__subcmd__help_commands() {
    local commands; commands=(
'access:Say what this process may do with files, as a list in JSON' \
'agent:Run the agent until it is told to stop' \
'apply:Put NGINX'\''s files in place for an agent that may not\: tests them, swaps them, reloads and confirms. Run by weir-apply.socket; ends when nobody asks' \
'status:Tell whether all is well here\: 0, or 8 if something needs attention' \
'upstream:Look at the servers of a balancer, go back, freeze and thaw' \
'explain:Tell why a member is in or out of every upstream\: each rule that was asked, and which of them decides' \
'check:List the checks of this node, and say how one is that has a ttl' \
'members:List the members of the cluster' \
'health:Show how members are, by what they told this node' \
'join:Make the agent join a cluster' \
'drain:Send no new requests to this node, also after a restart, until that is taken back' \
'leave:Make the agent leave the cluster and stop, once no balancer sends it requests' \
'force-leave:Turn a failed member into one that left' \
'event:Send a user event to all members' \
'query:Ask members a question and show their answers' \
'tags:Show the tags of this node, or change them' \
'keys:List or change the cluster'\''s keys' \
'info:Show counters and settings of the agent' \
'monitor:Show the agent'\''s log lines and events as they come' \
'reachability:Test whether every live member answers this node' \
'rtt:Estimate the round trip time between two members' \
'reload:Make the agent read its configuration again' \
'config:Check, show or convert configurations' \
'demo:Show a cluster of one balancer and two web servers on this machine, with real NGINX and real requests' \
'doctor:Look for trouble on this host and around it, and name the remedies' \
'init:Configure this server as a balancer or as a web server, start it, and wait until it truly works' \
'sim:Simulate thousands of nodes in virtual time' \
'keygen:Make a new cluster key\: 32 bytes in base64' \
'version:Print the version' \
'completions:Print the completions for a shell' \
'man:Print the manual page, or write all pages into a directory' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'weir help commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__access_commands] )) ||
_weir__subcmd__help__subcmd__access_commands() {
    local commands; commands=()
    _describe -t commands 'weir help access commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__agent_commands] )) ||
_weir__subcmd__help__subcmd__agent_commands() {
    local commands; commands=()
    _describe -t commands 'weir help agent commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__apply_commands] )) ||
_weir__subcmd__help__subcmd__apply_commands() {
    local commands; commands=()
    _describe -t commands 'weir help apply commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__check_commands] )) ||
_weir__subcmd__help__subcmd__check_commands() {
    local commands; commands=(
'list:List the checks of this node, each with its last result' \
'pass:Say that a ttl check passes, for as long as its ttl' \
'warn:Say that a ttl check has something to warn of, for as long as its ttl' \
'fail:Say that a ttl check is critical, at once' \
    )
    _describe -t commands 'weir help check commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__check__subcmd__fail_commands] )) ||
_weir__subcmd__help__subcmd__check__subcmd__fail_commands() {
    local commands; commands=()
    _describe -t commands 'weir help check fail commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__check__subcmd__list_commands] )) ||
_weir__subcmd__help__subcmd__check__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'weir help check list commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__check__subcmd__pass_commands] )) ||
_weir__subcmd__help__subcmd__check__subcmd__pass_commands() {
    local commands; commands=()
    _describe -t commands 'weir help check pass commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__check__subcmd__warn_commands] )) ||
_weir__subcmd__help__subcmd__check__subcmd__warn_commands() {
    local commands; commands=()
    _describe -t commands 'weir help check warn commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__completions_commands] )) ||
_weir__subcmd__help__subcmd__completions_commands() {
    local commands; commands=()
    _describe -t commands 'weir help completions commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__config_commands] )) ||
_weir__subcmd__help__subcmd__config_commands() {
    local commands; commands=(
'check:List all mistakes, each with its place and the way out' \
'show:Print the effective values' \
'schema:Print the JSON Schema of the file' \
'example:Print a file with every key at its default' \
'convert:Print one of Serf'\''s JSON files as TOML' \
    )
    _describe -t commands 'weir help config commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__config__subcmd__check_commands] )) ||
_weir__subcmd__help__subcmd__config__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'weir help config check commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__config__subcmd__convert_commands] )) ||
_weir__subcmd__help__subcmd__config__subcmd__convert_commands() {
    local commands; commands=()
    _describe -t commands 'weir help config convert commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__config__subcmd__example_commands] )) ||
_weir__subcmd__help__subcmd__config__subcmd__example_commands() {
    local commands; commands=()
    _describe -t commands 'weir help config example commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__config__subcmd__schema_commands] )) ||
_weir__subcmd__help__subcmd__config__subcmd__schema_commands() {
    local commands; commands=()
    _describe -t commands 'weir help config schema commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__config__subcmd__show_commands] )) ||
_weir__subcmd__help__subcmd__config__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'weir help config show commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__demo_commands] )) ||
_weir__subcmd__help__subcmd__demo_commands() {
    local commands; commands=()
    _describe -t commands 'weir help demo commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__doctor_commands] )) ||
_weir__subcmd__help__subcmd__doctor_commands() {
    local commands; commands=()
    _describe -t commands 'weir help doctor commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__drain_commands] )) ||
_weir__subcmd__help__subcmd__drain_commands() {
    local commands; commands=()
    _describe -t commands 'weir help drain commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__event_commands] )) ||
_weir__subcmd__help__subcmd__event_commands() {
    local commands; commands=()
    _describe -t commands 'weir help event commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__explain_commands] )) ||
_weir__subcmd__help__subcmd__explain_commands() {
    local commands; commands=()
    _describe -t commands 'weir help explain commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__force-leave_commands] )) ||
_weir__subcmd__help__subcmd__force-leave_commands() {
    local commands; commands=()
    _describe -t commands 'weir help force-leave commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__health_commands] )) ||
_weir__subcmd__help__subcmd__health_commands() {
    local commands; commands=()
    _describe -t commands 'weir help health commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__help_commands] )) ||
_weir__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'weir help help commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__info_commands] )) ||
_weir__subcmd__help__subcmd__info_commands() {
    local commands; commands=()
    _describe -t commands 'weir help info commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__init_commands] )) ||
_weir__subcmd__help__subcmd__init_commands() {
    local commands; commands=()
    _describe -t commands 'weir help init commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__join_commands] )) ||
_weir__subcmd__help__subcmd__join_commands() {
    local commands; commands=()
    _describe -t commands 'weir help join commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__keygen_commands] )) ||
_weir__subcmd__help__subcmd__keygen_commands() {
    local commands; commands=()
    _describe -t commands 'weir help keygen commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__keys_commands] )) ||
_weir__subcmd__help__subcmd__keys_commands() {
    local commands; commands=(
'list:List the keys and how many members hold each' \
'install:Make every member hold a key' \
'use:Make every member seal with a key that it holds' \
'remove:Make every member forget a key' \
'status:Tell which keys each member holds and which one it seals with' \
'rotate:Replace the cluster'\''s key by a fresh one, confirmed by every member' \
'export:Print this host'\''s primary key' \
'import:Put a key into this host'\''s ring; it seals from now on' \
    )
    _describe -t commands 'weir help keys commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__keys__subcmd__export_commands] )) ||
_weir__subcmd__help__subcmd__keys__subcmd__export_commands() {
    local commands; commands=()
    _describe -t commands 'weir help keys export commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__keys__subcmd__import_commands] )) ||
_weir__subcmd__help__subcmd__keys__subcmd__import_commands() {
    local commands; commands=()
    _describe -t commands 'weir help keys import commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__keys__subcmd__install_commands] )) ||
_weir__subcmd__help__subcmd__keys__subcmd__install_commands() {
    local commands; commands=()
    _describe -t commands 'weir help keys install commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__keys__subcmd__list_commands] )) ||
_weir__subcmd__help__subcmd__keys__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'weir help keys list commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__keys__subcmd__remove_commands] )) ||
_weir__subcmd__help__subcmd__keys__subcmd__remove_commands() {
    local commands; commands=()
    _describe -t commands 'weir help keys remove commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__keys__subcmd__rotate_commands] )) ||
_weir__subcmd__help__subcmd__keys__subcmd__rotate_commands() {
    local commands; commands=()
    _describe -t commands 'weir help keys rotate commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__keys__subcmd__status_commands] )) ||
_weir__subcmd__help__subcmd__keys__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'weir help keys status commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__keys__subcmd__use_commands] )) ||
_weir__subcmd__help__subcmd__keys__subcmd__use_commands() {
    local commands; commands=()
    _describe -t commands 'weir help keys use commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__leave_commands] )) ||
_weir__subcmd__help__subcmd__leave_commands() {
    local commands; commands=()
    _describe -t commands 'weir help leave commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__man_commands] )) ||
_weir__subcmd__help__subcmd__man_commands() {
    local commands; commands=()
    _describe -t commands 'weir help man commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__members_commands] )) ||
_weir__subcmd__help__subcmd__members_commands() {
    local commands; commands=()
    _describe -t commands 'weir help members commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__monitor_commands] )) ||
_weir__subcmd__help__subcmd__monitor_commands() {
    local commands; commands=()
    _describe -t commands 'weir help monitor commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__query_commands] )) ||
_weir__subcmd__help__subcmd__query_commands() {
    local commands; commands=()
    _describe -t commands 'weir help query commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__reachability_commands] )) ||
_weir__subcmd__help__subcmd__reachability_commands() {
    local commands; commands=()
    _describe -t commands 'weir help reachability commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__reload_commands] )) ||
_weir__subcmd__help__subcmd__reload_commands() {
    local commands; commands=()
    _describe -t commands 'weir help reload commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__rtt_commands] )) ||
_weir__subcmd__help__subcmd__rtt_commands() {
    local commands; commands=()
    _describe -t commands 'weir help rtt commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__sim_commands] )) ||
_weir__subcmd__help__subcmd__sim_commands() {
    local commands; commands=()
    _describe -t commands 'weir help sim commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__status_commands] )) ||
_weir__subcmd__help__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'weir help status commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__tags_commands] )) ||
_weir__subcmd__help__subcmd__tags_commands() {
    local commands; commands=()
    _describe -t commands 'weir help tags commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__upstream_commands] )) ||
_weir__subcmd__help__subcmd__upstream_commands() {
    local commands; commands=(
'show:Show the servers, their state, weight and share of requests, since when and why' \
'explain:Tell why a member is in or out of every upstream\: each rule that was asked, and which of them decides' \
'plan:Tell what would happen to every upstream if all of this came together\: 0 if nothing would, 8 if something would' \
'history:List the last generations, when each was made, why, and what it changed' \
'diff:Tell what differs\: 0 if nothing does, 8 if something does' \
'rollback:Go back to an older generation now, and hold every upstream whose file is another one then' \
'hold:Freeze an upstream, or all\: its servers stay as they are, but for those that leave or drain, until it is released' \
'release:Thaw an upstream, or all\: what had to wait is put in place' \
'render:Print the file of an upstream, or of all, as the agent wants it; without an agent, as it is in place' \
    )
    _describe -t commands 'weir help upstream commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__upstream__subcmd__diff_commands] )) ||
_weir__subcmd__help__subcmd__upstream__subcmd__diff_commands() {
    local commands; commands=()
    _describe -t commands 'weir help upstream diff commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__upstream__subcmd__explain_commands] )) ||
_weir__subcmd__help__subcmd__upstream__subcmd__explain_commands() {
    local commands; commands=()
    _describe -t commands 'weir help upstream explain commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__upstream__subcmd__history_commands] )) ||
_weir__subcmd__help__subcmd__upstream__subcmd__history_commands() {
    local commands; commands=()
    _describe -t commands 'weir help upstream history commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__upstream__subcmd__hold_commands] )) ||
_weir__subcmd__help__subcmd__upstream__subcmd__hold_commands() {
    local commands; commands=()
    _describe -t commands 'weir help upstream hold commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__upstream__subcmd__plan_commands] )) ||
_weir__subcmd__help__subcmd__upstream__subcmd__plan_commands() {
    local commands; commands=()
    _describe -t commands 'weir help upstream plan commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__upstream__subcmd__release_commands] )) ||
_weir__subcmd__help__subcmd__upstream__subcmd__release_commands() {
    local commands; commands=()
    _describe -t commands 'weir help upstream release commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__upstream__subcmd__render_commands] )) ||
_weir__subcmd__help__subcmd__upstream__subcmd__render_commands() {
    local commands; commands=()
    _describe -t commands 'weir help upstream render commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__upstream__subcmd__rollback_commands] )) ||
_weir__subcmd__help__subcmd__upstream__subcmd__rollback_commands() {
    local commands; commands=()
    _describe -t commands 'weir help upstream rollback commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__upstream__subcmd__show_commands] )) ||
_weir__subcmd__help__subcmd__upstream__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'weir help upstream show commands' commands "$@"
}
(( $+functions[_weir__subcmd__help__subcmd__version_commands] )) ||
_weir__subcmd__help__subcmd__version_commands() {
    local commands; commands=()
    _describe -t commands 'weir help version commands' commands "$@"
}
(( $+functions[_weir__subcmd__info_commands] )) ||
_weir__subcmd__info_commands() {
    local commands; commands=()
    _describe -t commands 'weir info commands' commands "$@"
}
(( $+functions[_weir__subcmd__init_commands] )) ||
_weir__subcmd__init_commands() {
    local commands; commands=()
    _describe -t commands 'weir init commands' commands "$@"
}
(( $+functions[_weir__subcmd__join_commands] )) ||
_weir__subcmd__join_commands() {
    local commands; commands=()
    _describe -t commands 'weir join commands' commands "$@"
}
(( $+functions[_weir__subcmd__keygen_commands] )) ||
_weir__subcmd__keygen_commands() {
    local commands; commands=()
    _describe -t commands 'weir keygen commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys_commands] )) ||
_weir__subcmd__keys_commands() {
    local commands; commands=(
'list:List the keys and how many members hold each' \
'install:Make every member hold a key' \
'use:Make every member seal with a key that it holds' \
'remove:Make every member forget a key' \
'status:Tell which keys each member holds and which one it seals with' \
'rotate:Replace the cluster'\''s key by a fresh one, confirmed by every member' \
'export:Print this host'\''s primary key' \
'import:Put a key into this host'\''s ring; it seals from now on' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'weir keys commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys__subcmd__export_commands] )) ||
_weir__subcmd__keys__subcmd__export_commands() {
    local commands; commands=()
    _describe -t commands 'weir keys export commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys__subcmd__help_commands] )) ||
_weir__subcmd__keys__subcmd__help_commands() {
    local commands; commands=(
'list:List the keys and how many members hold each' \
'install:Make every member hold a key' \
'use:Make every member seal with a key that it holds' \
'remove:Make every member forget a key' \
'status:Tell which keys each member holds and which one it seals with' \
'rotate:Replace the cluster'\''s key by a fresh one, confirmed by every member' \
'export:Print this host'\''s primary key' \
'import:Put a key into this host'\''s ring; it seals from now on' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'weir keys help commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys__subcmd__help__subcmd__export_commands] )) ||
_weir__subcmd__keys__subcmd__help__subcmd__export_commands() {
    local commands; commands=()
    _describe -t commands 'weir keys help export commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys__subcmd__help__subcmd__help_commands] )) ||
_weir__subcmd__keys__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'weir keys help help commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys__subcmd__help__subcmd__import_commands] )) ||
_weir__subcmd__keys__subcmd__help__subcmd__import_commands() {
    local commands; commands=()
    _describe -t commands 'weir keys help import commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys__subcmd__help__subcmd__install_commands] )) ||
_weir__subcmd__keys__subcmd__help__subcmd__install_commands() {
    local commands; commands=()
    _describe -t commands 'weir keys help install commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys__subcmd__help__subcmd__list_commands] )) ||
_weir__subcmd__keys__subcmd__help__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'weir keys help list commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys__subcmd__help__subcmd__remove_commands] )) ||
_weir__subcmd__keys__subcmd__help__subcmd__remove_commands() {
    local commands; commands=()
    _describe -t commands 'weir keys help remove commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys__subcmd__help__subcmd__rotate_commands] )) ||
_weir__subcmd__keys__subcmd__help__subcmd__rotate_commands() {
    local commands; commands=()
    _describe -t commands 'weir keys help rotate commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys__subcmd__help__subcmd__status_commands] )) ||
_weir__subcmd__keys__subcmd__help__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'weir keys help status commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys__subcmd__help__subcmd__use_commands] )) ||
_weir__subcmd__keys__subcmd__help__subcmd__use_commands() {
    local commands; commands=()
    _describe -t commands 'weir keys help use commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys__subcmd__import_commands] )) ||
_weir__subcmd__keys__subcmd__import_commands() {
    local commands; commands=()
    _describe -t commands 'weir keys import commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys__subcmd__install_commands] )) ||
_weir__subcmd__keys__subcmd__install_commands() {
    local commands; commands=()
    _describe -t commands 'weir keys install commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys__subcmd__list_commands] )) ||
_weir__subcmd__keys__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'weir keys list commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys__subcmd__remove_commands] )) ||
_weir__subcmd__keys__subcmd__remove_commands() {
    local commands; commands=()
    _describe -t commands 'weir keys remove commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys__subcmd__rotate_commands] )) ||
_weir__subcmd__keys__subcmd__rotate_commands() {
    local commands; commands=()
    _describe -t commands 'weir keys rotate commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys__subcmd__status_commands] )) ||
_weir__subcmd__keys__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'weir keys status commands' commands "$@"
}
(( $+functions[_weir__subcmd__keys__subcmd__use_commands] )) ||
_weir__subcmd__keys__subcmd__use_commands() {
    local commands; commands=()
    _describe -t commands 'weir keys use commands' commands "$@"
}
(( $+functions[_weir__subcmd__leave_commands] )) ||
_weir__subcmd__leave_commands() {
    local commands; commands=()
    _describe -t commands 'weir leave commands' commands "$@"
}
(( $+functions[_weir__subcmd__man_commands] )) ||
_weir__subcmd__man_commands() {
    local commands; commands=()
    _describe -t commands 'weir man commands' commands "$@"
}
(( $+functions[_weir__subcmd__members_commands] )) ||
_weir__subcmd__members_commands() {
    local commands; commands=()
    _describe -t commands 'weir members commands' commands "$@"
}
(( $+functions[_weir__subcmd__monitor_commands] )) ||
_weir__subcmd__monitor_commands() {
    local commands; commands=()
    _describe -t commands 'weir monitor commands' commands "$@"
}
(( $+functions[_weir__subcmd__query_commands] )) ||
_weir__subcmd__query_commands() {
    local commands; commands=()
    _describe -t commands 'weir query commands' commands "$@"
}
(( $+functions[_weir__subcmd__reachability_commands] )) ||
_weir__subcmd__reachability_commands() {
    local commands; commands=()
    _describe -t commands 'weir reachability commands' commands "$@"
}
(( $+functions[_weir__subcmd__reload_commands] )) ||
_weir__subcmd__reload_commands() {
    local commands; commands=()
    _describe -t commands 'weir reload commands' commands "$@"
}
(( $+functions[_weir__subcmd__rtt_commands] )) ||
_weir__subcmd__rtt_commands() {
    local commands; commands=()
    _describe -t commands 'weir rtt commands' commands "$@"
}
(( $+functions[_weir__subcmd__sim_commands] )) ||
_weir__subcmd__sim_commands() {
    local commands; commands=()
    _describe -t commands 'weir sim commands' commands "$@"
}
(( $+functions[_weir__subcmd__status_commands] )) ||
_weir__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'weir status commands' commands "$@"
}
(( $+functions[_weir__subcmd__tags_commands] )) ||
_weir__subcmd__tags_commands() {
    local commands; commands=()
    _describe -t commands 'weir tags commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream_commands] )) ||
_weir__subcmd__upstream_commands() {
    local commands; commands=(
'show:Show the servers, their state, weight and share of requests, since when and why' \
'explain:Tell why a member is in or out of every upstream\: each rule that was asked, and which of them decides' \
'plan:Tell what would happen to every upstream if all of this came together\: 0 if nothing would, 8 if something would' \
'history:List the last generations, when each was made, why, and what it changed' \
'diff:Tell what differs\: 0 if nothing does, 8 if something does' \
'rollback:Go back to an older generation now, and hold every upstream whose file is another one then' \
'hold:Freeze an upstream, or all\: its servers stay as they are, but for those that leave or drain, until it is released' \
'release:Thaw an upstream, or all\: what had to wait is put in place' \
'render:Print the file of an upstream, or of all, as the agent wants it; without an agent, as it is in place' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'weir upstream commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__diff_commands] )) ||
_weir__subcmd__upstream__subcmd__diff_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream diff commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__explain_commands] )) ||
_weir__subcmd__upstream__subcmd__explain_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream explain commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__help_commands] )) ||
_weir__subcmd__upstream__subcmd__help_commands() {
    local commands; commands=(
'show:Show the servers, their state, weight and share of requests, since when and why' \
'explain:Tell why a member is in or out of every upstream\: each rule that was asked, and which of them decides' \
'plan:Tell what would happen to every upstream if all of this came together\: 0 if nothing would, 8 if something would' \
'history:List the last generations, when each was made, why, and what it changed' \
'diff:Tell what differs\: 0 if nothing does, 8 if something does' \
'rollback:Go back to an older generation now, and hold every upstream whose file is another one then' \
'hold:Freeze an upstream, or all\: its servers stay as they are, but for those that leave or drain, until it is released' \
'release:Thaw an upstream, or all\: what had to wait is put in place' \
'render:Print the file of an upstream, or of all, as the agent wants it; without an agent, as it is in place' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'weir upstream help commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__help__subcmd__diff_commands] )) ||
_weir__subcmd__upstream__subcmd__help__subcmd__diff_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream help diff commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__help__subcmd__explain_commands] )) ||
_weir__subcmd__upstream__subcmd__help__subcmd__explain_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream help explain commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__help__subcmd__help_commands] )) ||
_weir__subcmd__upstream__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream help help commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__help__subcmd__history_commands] )) ||
_weir__subcmd__upstream__subcmd__help__subcmd__history_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream help history commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__help__subcmd__hold_commands] )) ||
_weir__subcmd__upstream__subcmd__help__subcmd__hold_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream help hold commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__help__subcmd__plan_commands] )) ||
_weir__subcmd__upstream__subcmd__help__subcmd__plan_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream help plan commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__help__subcmd__release_commands] )) ||
_weir__subcmd__upstream__subcmd__help__subcmd__release_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream help release commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__help__subcmd__render_commands] )) ||
_weir__subcmd__upstream__subcmd__help__subcmd__render_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream help render commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__help__subcmd__rollback_commands] )) ||
_weir__subcmd__upstream__subcmd__help__subcmd__rollback_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream help rollback commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__help__subcmd__show_commands] )) ||
_weir__subcmd__upstream__subcmd__help__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream help show commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__history_commands] )) ||
_weir__subcmd__upstream__subcmd__history_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream history commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__hold_commands] )) ||
_weir__subcmd__upstream__subcmd__hold_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream hold commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__plan_commands] )) ||
_weir__subcmd__upstream__subcmd__plan_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream plan commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__release_commands] )) ||
_weir__subcmd__upstream__subcmd__release_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream release commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__render_commands] )) ||
_weir__subcmd__upstream__subcmd__render_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream render commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__rollback_commands] )) ||
_weir__subcmd__upstream__subcmd__rollback_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream rollback commands' commands "$@"
}
(( $+functions[_weir__subcmd__upstream__subcmd__show_commands] )) ||
_weir__subcmd__upstream__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'weir upstream show commands' commands "$@"
}
(( $+functions[_weir__subcmd__version_commands] )) ||
_weir__subcmd__version_commands() {
    local commands; commands=()
    _describe -t commands 'weir version commands' commands "$@"
}

if [ "$funcstack[1]" = "_weir" ]; then
    _weir "$@"
else
    compdef _weir weir
fi
