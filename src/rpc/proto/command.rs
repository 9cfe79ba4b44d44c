//! The command table (`rpc §4`).

/// What a client asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    Handshake,
    Auth,
    Event,
    ForceLeave,
    Join,
    Members,
    MembersFiltered,
    Tags,
    Stream,
    Monitor,
    Stop,
    Leave,
    Query,
    Respond,
    InstallKey,
    UseKey,
    RemoveKey,
    ListKeys,
    Stats,
    GetCoordinate,
    /// One of weir's own, by its whole name `weir-…`. A body each way, always.
    Weir(String),
}

impl Command {
    /// What names of our own commands begin with.
    pub const WEIR_PREFIX: &str = "weir-";

    /// `None` if there is no such command. Blanks around the name are forgiven: one client library sends them.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.trim_matches(' ') {
            "handshake" => Self::Handshake,
            "auth" => Self::Auth,
            "event" => Self::Event,
            "force-leave" => Self::ForceLeave,
            "join" => Self::Join,
            "members" => Self::Members,
            "members-filtered" => Self::MembersFiltered,
            "tags" => Self::Tags,
            "stream" => Self::Stream,
            "monitor" => Self::Monitor,
            "stop" => Self::Stop,
            "leave" => Self::Leave,
            "query" => Self::Query,
            "respond" => Self::Respond,
            "install-key" => Self::InstallKey,
            "use-key" => Self::UseKey,
            "remove-key" => Self::RemoveKey,
            "list-keys" => Self::ListKeys,
            "stats" => Self::Stats,
            "get-coordinate" => Self::GetCoordinate,
            name if name.len() > Self::WEIR_PREFIX.len() && name.starts_with(Self::WEIR_PREFIX) => {
                Self::Weir(name.to_owned())
            }
            _ => return None,
        })
    }

    /// The name on the wire.
    pub fn name(&self) -> &str {
        match self {
            Self::Handshake => "handshake",
            Self::Auth => "auth",
            Self::Event => "event",
            Self::ForceLeave => "force-leave",
            Self::Join => "join",
            Self::Members => "members",
            Self::MembersFiltered => "members-filtered",
            Self::Tags => "tags",
            Self::Stream => "stream",
            Self::Monitor => "monitor",
            Self::Stop => "stop",
            Self::Leave => "leave",
            Self::Query => "query",
            Self::Respond => "respond",
            Self::InstallKey => "install-key",
            Self::UseKey => "use-key",
            Self::RemoveKey => "remove-key",
            Self::ListKeys => "list-keys",
            Self::Stats => "stats",
            Self::GetCoordinate => "get-coordinate",
            Self::Weir(name) => name,
        }
    }

    /// Whether a body follows the request's header.
    pub fn has_body(&self) -> bool {
        !matches!(self, Self::Members | Self::Leave | Self::ListKeys | Self::Stats)
    }

    /// Whether it changes the node or the cluster: such commands are logged with who sent them.
    pub fn changes_state(&self) -> bool {
        match self {
            Self::ForceLeave
            | Self::Join
            | Self::Tags
            | Self::Leave
            | Self::InstallKey
            | Self::UseKey
            | Self::RemoveKey => true,
            Self::Handshake
            | Self::Auth
            | Self::Event
            | Self::Members
            | Self::MembersFiltered
            | Self::Stream
            | Self::Monitor
            | Self::Stop
            | Self::Query
            | Self::Respond
            | Self::ListKeys
            | Self::Stats
            | Self::GetCoordinate
            | Self::Weir(_) => false,
        }
    }
}
