//! The command table (`rpc §4`).

/// Each command of Serf's once: `Variant = "name"`, whether its request has a body, whether it changes the node or the cluster.
macro_rules! commands {
    ($($variant:ident = $name:literal, body: $body:literal, changes: $changes:literal;)+) => {
        /// What a client asks for.
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub enum Command {
            $($variant,)+
            /// One of weir's own, by its whole name `weir-…`. A body each way, always.
            Weir(String),
        }

        impl Command {
            /// `None` if there is no such command. Blanks around the name are forgiven: one client library sends them.
            pub fn from_name(name: &str) -> Option<Self> {
                match name.trim_matches(' ') {
                    $($name => Some(Self::$variant),)+
                    name => {
                        let rest = name.strip_prefix(Self::WEIR_PREFIX)?;
                        (!rest.is_empty()).then(|| Self::Weir(name.to_owned()))
                    }
                }
            }

            /// The name on the wire.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Weir(name) => name,
                }
            }

            /// Whether a body follows the request's header.
            pub fn has_body(&self) -> bool {
                match self {
                    $(Self::$variant => $body,)+
                    Self::Weir(_) => true,
                }
            }

            /// Whether it changes the node or the cluster: such commands are logged with who sent them.
            pub fn changes_state(&self) -> bool {
                match self {
                    $(Self::$variant => $changes,)+
                    Self::Weir(_) => false,
                }
            }
        }
    };
}

commands! {
    Handshake = "handshake", body: true, changes: false;
    Auth = "auth", body: true, changes: false;
    Event = "event", body: true, changes: false;
    ForceLeave = "force-leave", body: true, changes: true;
    Join = "join", body: true, changes: true;
    Members = "members", body: false, changes: false;
    MembersFiltered = "members-filtered", body: true, changes: false;
    Tags = "tags", body: true, changes: true;
    Stream = "stream", body: true, changes: false;
    Monitor = "monitor", body: true, changes: false;
    Stop = "stop", body: true, changes: false;
    Leave = "leave", body: false, changes: true;
    Query = "query", body: true, changes: false;
    Respond = "respond", body: true, changes: false;
    InstallKey = "install-key", body: true, changes: true;
    UseKey = "use-key", body: true, changes: true;
    RemoveKey = "remove-key", body: true, changes: true;
    ListKeys = "list-keys", body: false, changes: false;
    Stats = "stats", body: false, changes: false;
    GetCoordinate = "get-coordinate", body: true, changes: false;
}

impl Command {
    /// What names of our own commands begin with.
    pub const WEIR_PREFIX: &str = "weir-";
}
