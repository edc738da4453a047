//! The commands, one a line.

use serde::Deserialize;

#[derive(Deserialize)]
pub struct Command {
    pub id: u64,
    #[serde(flatten)]
    pub doing: Doing,
}

#[derive(Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub enum Doing {
    /// Store one block; `data` in base64.
    Add {
        data: String,
        codec: String,
        hash: String,
        version: u64,
    },
    /// Fetch one block; `timeout` in seconds.
    Get { cid: String, timeout: f64 },
    /// Dial a full multiaddr.
    Connect { addr: String },
    /// Close every connection to a peer.
    Disconnect { peer: String },
}
