# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_weir_global_optspecs
    string join \n format= color= quiet v/version h/help
end

function __fish_weir_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_weir_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_weir_using_subcommand
    set -l cmd (__fish_weir_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c weir -n "__fish_weir_needs_command" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_needs_command" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_needs_command" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_needs_command" -s v -l version -d 'Print the version'
complete -c weir -n "__fish_weir_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_needs_command" -f -a "access" -d 'Say what this process may do with files, as a list in JSON'
complete -c weir -n "__fish_weir_needs_command" -f -a "agent" -d 'Run the agent until it is told to stop'
complete -c weir -n "__fish_weir_needs_command" -f -a "apply" -d 'Put NGINX\'s files in place for an agent that may not: tests them, swaps them, reloads and confirms. Run by weir-apply.socket; ends when nobody asks'
complete -c weir -n "__fish_weir_needs_command" -f -a "status" -d 'Tell whether all is well here: 0, or 8 if something needs attention'
complete -c weir -n "__fish_weir_needs_command" -f -a "upstream" -d 'Look at the servers of a balancer, go back, freeze and thaw'
complete -c weir -n "__fish_weir_needs_command" -f -a "explain" -d 'Tell why a member is in or out of every upstream: each rule that was asked, and which of them decides'
complete -c weir -n "__fish_weir_needs_command" -f -a "check" -d 'List the checks of this node, and say how one is that has a ttl'
complete -c weir -n "__fish_weir_needs_command" -f -a "members" -d 'List the members of the cluster'
complete -c weir -n "__fish_weir_needs_command" -f -a "health" -d 'Show how members are, by what they told this node'
complete -c weir -n "__fish_weir_needs_command" -f -a "join" -d 'Make the agent join a cluster'
complete -c weir -n "__fish_weir_needs_command" -f -a "drain" -d 'Send no new requests to this node, also after a restart, until that is taken back'
complete -c weir -n "__fish_weir_needs_command" -f -a "leave" -d 'Make the agent leave the cluster and stop, once no balancer sends it requests'
complete -c weir -n "__fish_weir_needs_command" -f -a "force-leave" -d 'Turn a failed member into one that left'
complete -c weir -n "__fish_weir_needs_command" -f -a "event" -d 'Send a user event to all members'
complete -c weir -n "__fish_weir_needs_command" -f -a "query" -d 'Ask members a question and show their answers'
complete -c weir -n "__fish_weir_needs_command" -f -a "tags" -d 'Show the tags of this node, or change them'
complete -c weir -n "__fish_weir_needs_command" -f -a "keys" -d 'List or change the cluster\'s keys'
complete -c weir -n "__fish_weir_needs_command" -f -a "info" -d 'Show counters and settings of the agent'
complete -c weir -n "__fish_weir_needs_command" -f -a "monitor" -d 'Show the agent\'s log lines and events as they come'
complete -c weir -n "__fish_weir_needs_command" -f -a "reachability" -d 'Test whether every live member answers this node'
complete -c weir -n "__fish_weir_needs_command" -f -a "rtt" -d 'Estimate the round trip time between two members'
complete -c weir -n "__fish_weir_needs_command" -f -a "reload" -d 'Make the agent read its configuration again'
complete -c weir -n "__fish_weir_needs_command" -f -a "config" -d 'Check, show or convert configurations'
complete -c weir -n "__fish_weir_needs_command" -f -a "demo" -d 'Show a cluster of one balancer and two web servers on this machine, with real NGINX and real requests'
complete -c weir -n "__fish_weir_needs_command" -f -a "doctor" -d 'Look for trouble on this host and around it, and name the remedies'
complete -c weir -n "__fish_weir_needs_command" -f -a "init" -d 'Configure this server as a balancer or as a web server, start it, and wait until it truly works'
complete -c weir -n "__fish_weir_needs_command" -f -a "sim" -d 'Simulate thousands of nodes in virtual time'
complete -c weir -n "__fish_weir_needs_command" -f -a "keygen" -d 'Make a new cluster key: 32 bytes in base64'
complete -c weir -n "__fish_weir_needs_command" -f -a "version" -d 'Print the version'
complete -c weir -n "__fish_weir_needs_command" -f -a "completions" -d 'Print the completions for a shell'
complete -c weir -n "__fish_weir_needs_command" -f -a "man" -d 'Print the manual page, or write all pages into a directory'
complete -c weir -n "__fish_weir_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c weir -n "__fish_weir_using_subcommand access" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand access" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand access" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand access" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand agent" -l config-file -d 'Configuration: TOML, or Serf\'s JSON; repeatable [env: WEIR_CONFIG]' -r -F
complete -c weir -n "__fish_weir_using_subcommand agent" -l config-dir -d 'Directory of .toml and .json files, read by name; repeatable' -r -F
complete -c weir -n "__fish_weir_using_subcommand agent" -l node -d 'Name of this node, unique in the cluster [node.name]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l tag -d 'Tag of this node; repeatable [node.tags]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l role -d 'Serf\'s tag `role`; --tag role=ROLE says the same' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l tags-file -d 'Serf\'s file of tags, imported once' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l bind -d 'Address or interface to listen on for gossip [gossip.bind]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l iface -d 'Interface to listen on for gossip, if not named in --bind' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l advertise -d 'Address that others use [gossip.advertise]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l join -d 'Join this member, or stop if none answers; repeatable' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l retry-join -d 'Join this member, trying until it answers; repeatable [gossip.join]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l retry-interval -d 'Time between two tries [gossip.join_retry_interval]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l retry-max -d 'Most tries; 0 is no limit [gossip.join_retry_max]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l replay -d 'Deliver user events older than our join [gossip.replay_on_join]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l discover -d 'Find and join peers of this name by mDNS [gossip.discover]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l mdns-iface -d 'Serf\'s; the interface comes from --bind' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l mdns-disable-ipv4 -d '' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l mdns-disable-ipv6 -d '' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l profile -d 'Timing: lan, wan or local [gossip.profile]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l protocol -d 'Version of the Serf protocol, 2 to 5' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l label -d 'memberlist label, the same on every node [gossip.label]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l disable-compression -d 'Send messages uncompressed [gossip.compression]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l broadcast-timeout -d 'Longest wait for a leave to be heard [gossip.broadcast_timeout]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l keyring-file -d 'File with the keys for gossip [encryption.keyring]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l encrypt -d 'Key for gossip; others can see it in the process list' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l seal -d 'Envelope: auto, session, memberlist or off [encryption.seal]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l snapshot -d 'File to rejoin from after a restart [snapshot.path]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l rejoin -d 'Rejoin also after a leave [snapshot.rejoin_after_leave]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l event-handler -d 'Script for events, [FILTER=]COMMAND; repeatable [handler.*]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l rpc-addr -d 'Address to listen on for RPC [rpc.listen]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l rpc-socket -d 'Unix socket to listen on for RPC [rpc.socket]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l rpc-token-file -d 'File with the token of RPC clients [rpc.token_file]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l rpc-auth -d 'Token of RPC clients; others can see it in the process list' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l log-level -d 'Least level of log lines, or per part [log.level]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l log-format -d 'Where and how to log: auto, journald, text or json [log.format]' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l syslog -d 'Serf\'s; logs go to the journal' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand agent" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand agent" -l check -d 'Check the configuration and exit'
complete -c weir -n "__fish_weir_using_subcommand agent" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand agent" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand apply" -l config-file -d 'The configuration, which only root may write, and NAME.d/*.toml beside it' -r -F
complete -c weir -n "__fish_weir_using_subcommand apply" -l state -d 'Where the copy of the configuration applied last is kept' -r -F
complete -c weir -n "__fish_weir_using_subcommand apply" -l socket -d 'Listen here, where systemd does not hand over a socket' -r -F
complete -c weir -n "__fish_weir_using_subcommand apply" -l user -d 'Who may ask besides root' -r
complete -c weir -n "__fish_weir_using_subcommand apply" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand apply" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand apply" -l recover -d 'Settle the files of an apply that was cut short, and exit: before NGINX starts'
complete -c weir -n "__fish_weir_using_subcommand apply" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand apply" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand status" -l for -d 'Look at one part alone: nginx, which is well while NGINX runs here and serves a confirmed generation (for keepalived), or cluster, which is gossip and keys' -r -f -a "nginx\t''
cluster\t''"
complete -c weir -n "__fish_weir_using_subcommand status" -l watch -d 'Show it again whenever it changes, looking this often' -r
complete -c weir -n "__fish_weir_using_subcommand status" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand status" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand status" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand status" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand status" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand status" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand status" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand upstream; and not __fish_seen_subcommand_from show explain plan history diff rollback hold release render help" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and not __fish_seen_subcommand_from show explain plan history diff rollback hold release render help" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and not __fish_seen_subcommand_from show explain plan history diff rollback hold release render help" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand upstream; and not __fish_seen_subcommand_from show explain plan history diff rollback hold release render help" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand upstream; and not __fish_seen_subcommand_from show explain plan history diff rollback hold release render help" -f -a "show" -d 'Show the servers, their state, weight and share of requests, since when and why'
complete -c weir -n "__fish_weir_using_subcommand upstream; and not __fish_seen_subcommand_from show explain plan history diff rollback hold release render help" -f -a "explain" -d 'Tell why a member is in or out of every upstream: each rule that was asked, and which of them decides'
complete -c weir -n "__fish_weir_using_subcommand upstream; and not __fish_seen_subcommand_from show explain plan history diff rollback hold release render help" -f -a "plan" -d 'Tell what would happen to every upstream if all of this came together: 0 if nothing would, 8 if something would'
complete -c weir -n "__fish_weir_using_subcommand upstream; and not __fish_seen_subcommand_from show explain plan history diff rollback hold release render help" -f -a "history" -d 'List the last generations, when each was made, why, and what it changed'
complete -c weir -n "__fish_weir_using_subcommand upstream; and not __fish_seen_subcommand_from show explain plan history diff rollback hold release render help" -f -a "diff" -d 'Tell what differs: 0 if nothing does, 8 if something does'
complete -c weir -n "__fish_weir_using_subcommand upstream; and not __fish_seen_subcommand_from show explain plan history diff rollback hold release render help" -f -a "rollback" -d 'Go back to an older generation now, and hold every upstream whose file is another one then'
complete -c weir -n "__fish_weir_using_subcommand upstream; and not __fish_seen_subcommand_from show explain plan history diff rollback hold release render help" -f -a "hold" -d 'Freeze an upstream, or all: its servers stay as they are, but for those that leave or drain, until it is released'
complete -c weir -n "__fish_weir_using_subcommand upstream; and not __fish_seen_subcommand_from show explain plan history diff rollback hold release render help" -f -a "release" -d 'Thaw an upstream, or all: what had to wait is put in place'
complete -c weir -n "__fish_weir_using_subcommand upstream; and not __fish_seen_subcommand_from show explain plan history diff rollback hold release render help" -f -a "render" -d 'Print the file of an upstream, or of all, as the agent wants it; without an agent, as it is in place'
complete -c weir -n "__fish_weir_using_subcommand upstream; and not __fish_seen_subcommand_from show explain plan history diff rollback hold release render help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from show" -l watch -d 'Show it again whenever it changes, looking this often' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from show" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from show" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from show" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from show" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from show" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from show" -l wide -d 'Do not cut long lines on a terminal'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from show" -l header -d 'Name the columns also in a pipe'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from show" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from explain" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from explain" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from explain" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from explain" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from explain" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from explain" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from explain" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from plan" -l fail -d 'A member that gossip has lost and whose service answers nobody' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from plan" -l drain -d 'A member that wants no new requests' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from plan" -l critical -d 'A member whose checks are critical' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from plan" -l join -d 'A member that joins and is well, with what matters of its tags: web3,port=8080,weight=2; addr=10.77.0.14 says where it is' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from plan" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from plan" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from plan" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from plan" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from plan" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from plan" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from plan" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from history" -s n -d 'Most of them; 0 for all that are kept' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from history" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from history" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from history" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from history" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from history" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from history" -l wide -d 'Do not cut long lines on a terminal'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from history" -l header -d 'Name the columns also in a pipe'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from history" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from history" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from diff" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from diff" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from diff" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from diff" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from diff" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from diff" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from rollback" -l reason -d 'Why, for whoever finds it held' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from rollback" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from rollback" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from rollback" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from rollback" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from rollback" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from rollback" -l force -d 'Even to one that has no server for an upstream'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from rollback" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from rollback" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from hold" -l reason -d 'Why, for whoever finds it held' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from hold" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from hold" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from hold" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from hold" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from hold" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from hold" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from hold" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from release" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from release" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from release" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from release" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from release" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from release" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from release" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from render" -l config-file -d 'Configuration: TOML, or Serf\'s JSON; repeatable [env: WEIR_CONFIG]' -r -F
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from render" -l config-dir -d 'Directory of .toml and .json files, read by name; repeatable' -r -F
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from render" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from render" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from render" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from render" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from render" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from render" -l candidate -d 'Have NGINX test its whole configuration with it, too; what serves is not touched'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from render" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from render" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show the servers, their state, weight and share of requests, since when and why'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from help" -f -a "explain" -d 'Tell why a member is in or out of every upstream: each rule that was asked, and which of them decides'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from help" -f -a "plan" -d 'Tell what would happen to every upstream if all of this came together: 0 if nothing would, 8 if something would'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from help" -f -a "history" -d 'List the last generations, when each was made, why, and what it changed'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from help" -f -a "diff" -d 'Tell what differs: 0 if nothing does, 8 if something does'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from help" -f -a "rollback" -d 'Go back to an older generation now, and hold every upstream whose file is another one then'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from help" -f -a "hold" -d 'Freeze an upstream, or all: its servers stay as they are, but for those that leave or drain, until it is released'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from help" -f -a "release" -d 'Thaw an upstream, or all: what had to wait is put in place'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from help" -f -a "render" -d 'Print the file of an upstream, or of all, as the agent wants it; without an agent, as it is in place'
complete -c weir -n "__fish_weir_using_subcommand upstream; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c weir -n "__fish_weir_using_subcommand explain" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand explain" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand explain" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand explain" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand explain" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand explain" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand explain" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand check; and not __fish_seen_subcommand_from list pass warn fail help" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand check; and not __fish_seen_subcommand_from list pass warn fail help" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand check; and not __fish_seen_subcommand_from list pass warn fail help" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand check; and not __fish_seen_subcommand_from list pass warn fail help" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand check; and not __fish_seen_subcommand_from list pass warn fail help" -f -a "list" -d 'List the checks of this node, each with its last result'
complete -c weir -n "__fish_weir_using_subcommand check; and not __fish_seen_subcommand_from list pass warn fail help" -f -a "pass" -d 'Say that a ttl check passes, for as long as its ttl'
complete -c weir -n "__fish_weir_using_subcommand check; and not __fish_seen_subcommand_from list pass warn fail help" -f -a "warn" -d 'Say that a ttl check has something to warn of, for as long as its ttl'
complete -c weir -n "__fish_weir_using_subcommand check; and not __fish_seen_subcommand_from list pass warn fail help" -f -a "fail" -d 'Say that a ttl check is critical, at once'
complete -c weir -n "__fish_weir_using_subcommand check; and not __fish_seen_subcommand_from list pass warn fail help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from list" -l watch -d 'Show it again whenever it changes, looking this often' -r
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from list" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from list" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from list" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from list" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from list" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from list" -l wide -d 'Do not cut long lines on a terminal'
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from list" -l header -d 'Name the columns also in a pipe'
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from list" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from pass" -l output -d 'Why, for whoever looks' -r
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from pass" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from pass" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from pass" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from pass" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from pass" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from pass" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from pass" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from warn" -l output -d 'Why, for whoever looks' -r
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from warn" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from warn" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from warn" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from warn" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from warn" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from warn" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from warn" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from fail" -l output -d 'Why, for whoever looks' -r
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from fail" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from fail" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from fail" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from fail" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from fail" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from fail" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from fail" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the checks of this node, each with its last result'
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from help" -f -a "pass" -d 'Say that a ttl check passes, for as long as its ttl'
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from help" -f -a "warn" -d 'Say that a ttl check has something to warn of, for as long as its ttl'
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from help" -f -a "fail" -d 'Say that a ttl check is critical, at once'
complete -c weir -n "__fish_weir_using_subcommand check; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c weir -n "__fish_weir_using_subcommand members" -l name -d 'Only members whose name matches (a full match)' -r
complete -c weir -n "__fish_weir_using_subcommand members" -l status -d 'Only members whose status matches: alive, leaving, left, failed' -r
complete -c weir -n "__fish_weir_using_subcommand members" -l tag -d 'Only members whose tag matches; repeatable, all must match' -r
complete -c weir -n "__fish_weir_using_subcommand members" -l role -d 'Only members whose tag `role` matches' -r
complete -c weir -n "__fish_weir_using_subcommand members" -l health -d 'Only members whose health matches: passing, warning, critical, silent, wait, none' -r
complete -c weir -n "__fish_weir_using_subcommand members" -l watch -d 'Show the list again whenever it changes, looking this often' -r
complete -c weir -n "__fish_weir_using_subcommand members" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand members" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand members" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand members" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand members" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand members" -l detailed -d 'Show protocol versions, too'
complete -c weir -n "__fish_weir_using_subcommand members" -l wide -d 'Do not cut long lines on a terminal'
complete -c weir -n "__fish_weir_using_subcommand members" -l header -d 'Name the columns also in a pipe'
complete -c weir -n "__fish_weir_using_subcommand members" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand members" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand health" -l watch -d 'Show it again whenever it changes, looking this often' -r
complete -c weir -n "__fish_weir_using_subcommand health" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand health" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand health" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand health" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand health" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand health" -l self -d 'This node alone, with each of its checks'
complete -c weir -n "__fish_weir_using_subcommand health" -l wide -d 'Do not cut long lines on a terminal'
complete -c weir -n "__fish_weir_using_subcommand health" -l header -d 'Name the columns also in a pipe'
complete -c weir -n "__fish_weir_using_subcommand health" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand health" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand join" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand join" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand join" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand join" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand join" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand join" -l replay -d 'Deliver user events that are older than the join, too'
complete -c weir -n "__fish_weir_using_subcommand join" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand join" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand drain" -l reason -d 'Why, for whoever looks' -r
complete -c weir -n "__fish_weir_using_subcommand drain" -l guard -d 'For the guard of this application\'s unit: mark the drain as its own, unless that unit goes on; without an agent there is nothing to do' -r
complete -c weir -n "__fish_weir_using_subcommand drain" -l if-guard -d 'For the guard of this application\'s unit: take back what it alone asked for, or without a name what guards asked for; without an agent there is nothing to do' -r
complete -c weir -n "__fish_weir_using_subcommand drain" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand drain" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand drain" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand drain" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand drain" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand drain" -l undo -d 'Take it back: the node serves again'
complete -c weir -n "__fish_weir_using_subcommand drain" -l no-wait -d 'Do not wait for the balancers; it stays draining until it is undone'
complete -c weir -n "__fish_weir_using_subcommand drain" -l force -d 'Stay draining although a balancer would have too few servers: out as soon as there is another'
complete -c weir -n "__fish_weir_using_subcommand drain" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand drain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand leave" -l drain-time -d 'Longest wait for requests on their way [leave.drain_time]; 0s: no drain' -r
complete -c weir -n "__fish_weir_using_subcommand leave" -l timeout -d 'For all of it [leave.timeout]; then it leaves anyway, naming who did not confirm' -r
complete -c weir -n "__fish_weir_using_subcommand leave" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand leave" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand leave" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand leave" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand leave" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand leave" -l on-stop -d 'For the unit\'s ExecStop=: leave if the unit is stopped and leave.on_stop says so, not if it is restarted; ends with 0'
complete -c weir -n "__fish_weir_using_subcommand leave" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand leave" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand force-leave" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand force-leave" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand force-leave" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand force-leave" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand force-leave" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand force-leave" -l prune -d 'Also forget it at once'
complete -c weir -n "__fish_weir_using_subcommand force-leave" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand force-leave" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand event" -l payload-file -d 'Read the payload from a file, or from standard input with -' -r -F
complete -c weir -n "__fish_weir_using_subcommand event" -l coalesce -d 'Whether receivers may keep only the newest event of a name' -r
complete -c weir -n "__fish_weir_using_subcommand event" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand event" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand event" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand event" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand event" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand event" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand event" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand query" -l node -d 'Only ask this member; repeatable' -r
complete -c weir -n "__fish_weir_using_subcommand query" -l tag -d 'Only ask members whose tag matches; repeatable, all must match' -r
complete -c weir -n "__fish_weir_using_subcommand query" -l timeout -d 'How long to wait; the agent\'s default depends on the size of the cluster' -r
complete -c weir -n "__fish_weir_using_subcommand query" -l relay-factor -d 'How many other members relay each answer, against loss' -r
complete -c weir -n "__fish_weir_using_subcommand query" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand query" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand query" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand query" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand query" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand query" -l no-ack -d 'Do not ask for acknowledgements'
complete -c weir -n "__fish_weir_using_subcommand query" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand query" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand tags" -l set -d 'Set a tag; repeatable' -r
complete -c weir -n "__fish_weir_using_subcommand tags" -l delete -d 'Remove a tag if it is there; repeatable' -r
complete -c weir -n "__fish_weir_using_subcommand tags" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand tags" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand tags" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand tags" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand tags" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand tags" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand tags" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -l install -d 'Serf\'s spelling of `install`; others can see the key in the process list' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -l use -d 'Serf\'s spelling of `use`' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -l remove -d 'Serf\'s spelling of `remove`' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -l list -d 'Serf\'s spelling of `list`'
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -f -a "list" -d 'List the keys and how many members hold each'
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -f -a "install" -d 'Make every member hold a key'
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -f -a "use" -d 'Make every member seal with a key that it holds'
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -f -a "remove" -d 'Make every member forget a key'
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -f -a "status" -d 'Tell which keys each member holds and which one it seals with'
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -f -a "rotate" -d 'Replace the cluster\'s key by a fresh one, confirmed by every member'
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -f -a "export" -d 'Print this host\'s primary key'
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -f -a "import" -d 'Put a key into this host\'s ring; it seals from now on'
complete -c weir -n "__fish_weir_using_subcommand keys; and not __fish_seen_subcommand_from list install use remove status rotate export import help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from list" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from list" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from list" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from list" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from list" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from list" -l header -d 'Name the columns also in a pipe'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from list" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from install" -l file -d 'Read the key from this file; standard input (-), the default, is a hidden prompt on a terminal' -r -F
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from install" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from install" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from install" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from install" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from install" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from install" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from use" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from use" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from use" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from use" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from use" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from use" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from use" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from remove" -l force -d 'Lock this member out, which has no other key; repeatable' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from remove" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from remove" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from remove" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from remove" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from remove" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from remove" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from status" -l watch -d 'Show it again whenever it changes, looking this often' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from status" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from status" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from status" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from status" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from status" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from status" -l header -d 'Name the columns also in a pipe'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from status" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l absent -d 'Go on without this member, but remove no key that it has; repeatable' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l force -d 'Lock this member out; repeatable' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l dry-run -d 'Only look and say what would happen'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from rotate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from export" -l config-file -d 'Configuration: TOML, or Serf\'s JSON; repeatable [env: WEIR_CONFIG]' -r -F
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from export" -l config-dir -d 'Directory of .toml and .json files, read by name; repeatable' -r -F
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from export" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from export" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from export" -l show -d 'Also on a terminal, where others may look on'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from export" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from import" -l file -d 'Read the key from this file; standard input (-), the default, is a hidden prompt on a terminal' -r -F
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from import" -l config-file -d 'Configuration: TOML, or Serf\'s JSON; repeatable [env: WEIR_CONFIG]' -r -F
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from import" -l config-dir -d 'Directory of .toml and .json files, read by name; repeatable' -r -F
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from import" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from import" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from import" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from import" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from import" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from import" -l add -d 'Only hold the key, and go on sealing with the present one'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from import" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the keys and how many members hold each'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from help" -f -a "install" -d 'Make every member hold a key'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from help" -f -a "use" -d 'Make every member seal with a key that it holds'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Make every member forget a key'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from help" -f -a "status" -d 'Tell which keys each member holds and which one it seals with'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from help" -f -a "rotate" -d 'Replace the cluster\'s key by a fresh one, confirmed by every member'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from help" -f -a "export" -d 'Print this host\'s primary key'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from help" -f -a "import" -d 'Put a key into this host\'s ring; it seals from now on'
complete -c weir -n "__fish_weir_using_subcommand keys; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c weir -n "__fish_weir_using_subcommand info" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand info" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand info" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand info" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand info" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand info" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand info" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand monitor" -l log-level -d 'Least level of the lines: trace, debug, info, warn, err' -r
complete -c weir -n "__fish_weir_using_subcommand monitor" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand monitor" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand monitor" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand monitor" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand monitor" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand monitor" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand monitor" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand reachability" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand reachability" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand reachability" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand reachability" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand reachability" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand reachability" -l verbose -d 'Show each answer and the times'
complete -c weir -n "__fish_weir_using_subcommand reachability" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand reachability" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand rtt" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand rtt" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand rtt" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand rtt" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand rtt" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand rtt" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand rtt" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand reload" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand reload" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand reload" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand reload" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand reload" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand reload" -l dry-run -d 'Only say what would change'
complete -c weir -n "__fish_weir_using_subcommand reload" -l header -d 'Name the columns also in a pipe'
complete -c weir -n "__fish_weir_using_subcommand reload" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand reload" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand config; and not __fish_seen_subcommand_from check show schema example convert help" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand config; and not __fish_seen_subcommand_from check show schema example convert help" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand config; and not __fish_seen_subcommand_from check show schema example convert help" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand config; and not __fish_seen_subcommand_from check show schema example convert help" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand config; and not __fish_seen_subcommand_from check show schema example convert help" -f -a "check" -d 'List all mistakes, each with its place and the way out'
complete -c weir -n "__fish_weir_using_subcommand config; and not __fish_seen_subcommand_from check show schema example convert help" -f -a "show" -d 'Print the effective values'
complete -c weir -n "__fish_weir_using_subcommand config; and not __fish_seen_subcommand_from check show schema example convert help" -f -a "schema" -d 'Print the JSON Schema of the file'
complete -c weir -n "__fish_weir_using_subcommand config; and not __fish_seen_subcommand_from check show schema example convert help" -f -a "example" -d 'Print a file with every key at its default'
complete -c weir -n "__fish_weir_using_subcommand config; and not __fish_seen_subcommand_from check show schema example convert help" -f -a "convert" -d 'Print one of Serf\'s JSON files as TOML'
complete -c weir -n "__fish_weir_using_subcommand config; and not __fish_seen_subcommand_from check show schema example convert help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from check" -l config-file -d 'Configuration: TOML, or Serf\'s JSON; repeatable [env: WEIR_CONFIG]' -r -F
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from check" -l config-dir -d 'Directory of .toml and .json files, read by name; repeatable' -r -F
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from check" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from check" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from check" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from show" -l config-file -d 'Configuration: TOML, or Serf\'s JSON; repeatable [env: WEIR_CONFIG]' -r -F
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from show" -l config-dir -d 'Directory of .toml and .json files, read by name; repeatable' -r -F
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from show" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from show" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from show" -l origin -d 'Say where each value comes from'
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from show" -l changed -d 'Leave out what is at its default'
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from show" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from schema" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from schema" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from schema" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from schema" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from example" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from example" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from example" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from example" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from convert" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from convert" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from convert" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from convert" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "check" -d 'List all mistakes, each with its place and the way out'
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print the effective values'
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "schema" -d 'Print the JSON Schema of the file'
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "example" -d 'Print a file with every key at its default'
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "convert" -d 'Print one of Serf\'s JSON files as TOML'
complete -c weir -n "__fish_weir_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c weir -n "__fish_weir_using_subcommand demo" -l for -d 'Length of the tour; each step waits until NGINX has the one before, so below 20s it takes longer than said' -r
complete -c weir -n "__fish_weir_using_subcommand demo" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand demo" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand demo" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand demo" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand doctor" -l only -d 'Only this group of checks; repeatable: config, agent, files, clock, ports, gossip, keys, nginx, checks, handlers' -r
complete -c weir -n "__fish_weir_using_subcommand doctor" -l config-file -d 'Configuration: TOML, or Serf\'s JSON; repeatable [env: WEIR_CONFIG]' -r -F
complete -c weir -n "__fish_weir_using_subcommand doctor" -l config-dir -d 'Directory of .toml and .json files, read by name; repeatable' -r -F
complete -c weir -n "__fish_weir_using_subcommand doctor" -l rpc-addr -d 'Address of the agent\'s RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]' -r
complete -c weir -n "__fish_weir_using_subcommand doctor" -l rpc-token-file -d 'File that holds the agent\'s RPC token' -r -F
complete -c weir -n "__fish_weir_using_subcommand doctor" -l rpc-auth -d 'The agent\'s RPC token; others can see it in the process list [env: SERF_RPC_AUTH]' -r
complete -c weir -n "__fish_weir_using_subcommand doctor" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand doctor" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand doctor" -l strict -d 'Warnings, and checks that were not possible, count as errors'
complete -c weir -n "__fish_weir_using_subcommand doctor" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand init" -l join -d 'A member of the cluster to join: HOST or HOST:PORT; a web server needs one, the first balancer does not' -r
complete -c weir -n "__fish_weir_using_subcommand init" -l key-file -d 'File that holds the cluster key, - for standard input; otherwise it is asked for, hidden' -r -F
complete -c weir -n "__fish_weir_using_subcommand init" -l name -d 'This node\'s name; the host name up to the first dot unless given' -r
complete -c weir -n "__fish_weir_using_subcommand init" -l address -d 'The address that the other servers reach; asked for where there are several private ones' -r
complete -c weir -n "__fish_weir_using_subcommand init" -l port -d 'The port that this server\'s web server listens on; found where there is one (web)' -r
complete -c weir -n "__fish_weir_using_subcommand init" -l role -d 'The value of the tag role; lb or web unless given' -r
complete -c weir -n "__fish_weir_using_subcommand init" -l tag -d 'A tag of this node; repeatable' -r
complete -c weir -n "__fish_weir_using_subcommand init" -l upstream -d 'The name of the upstream that is balanced; web unless given (lb)' -r
complete -c weir -n "__fish_weir_using_subcommand init" -l unit -d 'The unit of the application behind this web server; this node drains before that stops (web)' -r
complete -c weir -n "__fish_weir_using_subcommand init" -l site -d 'Whether to put a site on port 80: auto, where only the distribution\'s welcome page is, yes or no (lb)' -r -f -a "auto\t'Where port 80 has only the distribution\'s untouched welcome page, or nothing'
yes\t'Also in place of a welcome page that was edited'
no\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand init" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand init" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand init" -l yes -d 'Also do what touches other software, without asking'
complete -c weir -n "__fish_weir_using_subcommand init" -l dry-run -d 'Say what would be done, and change nothing'
complete -c weir -n "__fish_weir_using_subcommand init" -l force -d 'Write the configuration anew where there is another, also for another --unit; the old one is kept beside it'
complete -c weir -n "__fish_weir_using_subcommand init" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand init" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand sim" -l nodes -d 'Nodes, all of which know each other at the start' -r
complete -c weir -n "__fish_weir_using_subcommand sim" -l profile -d 'Timings: lan, wan or local' -r
complete -c weir -n "__fish_weir_using_subcommand sim" -l loss -d 'Share of datagrams that are lost, "5%"' -r
complete -c weir -n "__fish_weir_using_subcommand sim" -l delay -d 'One-way delay between nodes; half of it again is added at random' -r
complete -c weir -n "__fish_weir_using_subcommand sim" -l kill -d 'Members killed at once' -r
complete -c weir -n "__fish_weir_using_subcommand sim" -l for -d 'Virtual length of the run, at least 15s' -r
complete -c weir -n "__fish_weir_using_subcommand sim" -l seed -d 'Decides everything that is drawn; the same seed gives the same run' -r
complete -c weir -n "__fish_weir_using_subcommand sim" -l plot -d 'Write the run second by second as an SVG picture' -r -F
complete -c weir -n "__fish_weir_using_subcommand sim" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand sim" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand sim" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand sim" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand keygen" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand keygen" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand keygen" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand keygen" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand version" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand version" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand version" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand version" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand completions" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand completions" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand completions" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand completions" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand man" -l dir -d 'Write weir.1 and a page for each command into this directory' -r -F
complete -c weir -n "__fish_weir_using_subcommand man" -l format -d 'How to write answers: text or json' -r -f -a "text\t'For people: tables and sentences'
json\t'For programs: one JSON document'"
complete -c weir -n "__fish_weir_using_subcommand man" -l color -d 'When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also in a pipe'
never\t'Not at all'"
complete -c weir -n "__fish_weir_using_subcommand man" -l quiet -d 'No notices and no progress'
complete -c weir -n "__fish_weir_using_subcommand man" -s h -l help -d 'Print help'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "access" -d 'Say what this process may do with files, as a list in JSON'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "agent" -d 'Run the agent until it is told to stop'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "apply" -d 'Put NGINX\'s files in place for an agent that may not: tests them, swaps them, reloads and confirms. Run by weir-apply.socket; ends when nobody asks'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "status" -d 'Tell whether all is well here: 0, or 8 if something needs attention'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "upstream" -d 'Look at the servers of a balancer, go back, freeze and thaw'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "explain" -d 'Tell why a member is in or out of every upstream: each rule that was asked, and which of them decides'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "check" -d 'List the checks of this node, and say how one is that has a ttl'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "members" -d 'List the members of the cluster'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "health" -d 'Show how members are, by what they told this node'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "join" -d 'Make the agent join a cluster'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "drain" -d 'Send no new requests to this node, also after a restart, until that is taken back'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "leave" -d 'Make the agent leave the cluster and stop, once no balancer sends it requests'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "force-leave" -d 'Turn a failed member into one that left'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "event" -d 'Send a user event to all members'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "query" -d 'Ask members a question and show their answers'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "tags" -d 'Show the tags of this node, or change them'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "keys" -d 'List or change the cluster\'s keys'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "info" -d 'Show counters and settings of the agent'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "monitor" -d 'Show the agent\'s log lines and events as they come'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "reachability" -d 'Test whether every live member answers this node'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "rtt" -d 'Estimate the round trip time between two members'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "reload" -d 'Make the agent read its configuration again'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "config" -d 'Check, show or convert configurations'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "demo" -d 'Show a cluster of one balancer and two web servers on this machine, with real NGINX and real requests'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "doctor" -d 'Look for trouble on this host and around it, and name the remedies'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "init" -d 'Configure this server as a balancer or as a web server, start it, and wait until it truly works'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "sim" -d 'Simulate thousands of nodes in virtual time'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "keygen" -d 'Make a new cluster key: 32 bytes in base64'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "version" -d 'Print the version'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "completions" -d 'Print the completions for a shell'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "man" -d 'Print the manual page, or write all pages into a directory'
complete -c weir -n "__fish_weir_using_subcommand help; and not __fish_seen_subcommand_from access agent apply status upstream explain check members health join drain leave force-leave event query tags keys info monitor reachability rtt reload config demo doctor init sim keygen version completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from upstream" -f -a "show" -d 'Show the servers, their state, weight and share of requests, since when and why'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from upstream" -f -a "explain" -d 'Tell why a member is in or out of every upstream: each rule that was asked, and which of them decides'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from upstream" -f -a "plan" -d 'Tell what would happen to every upstream if all of this came together: 0 if nothing would, 8 if something would'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from upstream" -f -a "history" -d 'List the last generations, when each was made, why, and what it changed'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from upstream" -f -a "diff" -d 'Tell what differs: 0 if nothing does, 8 if something does'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from upstream" -f -a "rollback" -d 'Go back to an older generation now, and hold every upstream whose file is another one then'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from upstream" -f -a "hold" -d 'Freeze an upstream, or all: its servers stay as they are, but for those that leave or drain, until it is released'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from upstream" -f -a "release" -d 'Thaw an upstream, or all: what had to wait is put in place'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from upstream" -f -a "render" -d 'Print the file of an upstream, or of all, as the agent wants it; without an agent, as it is in place'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from check" -f -a "list" -d 'List the checks of this node, each with its last result'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from check" -f -a "pass" -d 'Say that a ttl check passes, for as long as its ttl'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from check" -f -a "warn" -d 'Say that a ttl check has something to warn of, for as long as its ttl'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from check" -f -a "fail" -d 'Say that a ttl check is critical, at once'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from keys" -f -a "list" -d 'List the keys and how many members hold each'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from keys" -f -a "install" -d 'Make every member hold a key'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from keys" -f -a "use" -d 'Make every member seal with a key that it holds'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from keys" -f -a "remove" -d 'Make every member forget a key'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from keys" -f -a "status" -d 'Tell which keys each member holds and which one it seals with'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from keys" -f -a "rotate" -d 'Replace the cluster\'s key by a fresh one, confirmed by every member'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from keys" -f -a "export" -d 'Print this host\'s primary key'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from keys" -f -a "import" -d 'Put a key into this host\'s ring; it seals from now on'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "check" -d 'List all mistakes, each with its place and the way out'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print the effective values'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "schema" -d 'Print the JSON Schema of the file'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "example" -d 'Print a file with every key at its default'
complete -c weir -n "__fish_weir_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "convert" -d 'Print one of Serf\'s JSON files as TOML'
