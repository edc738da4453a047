//! Blocks and their CIDs, by the names of multicodec's table.

use cid::{Cid, Version};
use data_encoding::{BASE64, HEXLOWER};
use multihash_codetable::{Code, MultihashDigest};
use serde_json::{Value, json};

use crate::Failure;

/// The size up to which a block's bytes are told too.
const SMALL_BLOCK: usize = 65_536;

pub fn decoded(base64: &str) -> Result<Vec<u8>, Failure> {
    Ok(BASE64.decode(base64.as_bytes())?)
}

pub fn cid_of(data: &[u8], codec: &str, hash: &str, version: u64) -> Result<Cid, Failure> {
    let codec = match codec {
        "raw" => 0x55,
        "dag-pb" => 0x70,
        "dag-cbor" => 0x71,
        _ => return Err(format!("unknown codec {codec:?}").into()),
    };
    let code = match hash {
        "sha2-256" => Code::Sha2_256,
        "sha2-512" => Code::Sha2_512,
        "blake2b-256" => Code::Blake2b256,
        "blake3" => Code::Blake3_256,
        _ => return Err(format!("unknown hash {hash:?}").into()),
    };
    Ok(Cid::new(
        Version::try_from(version)?,
        codec,
        code.digest(data),
    )?)
}

/// Size and SHA-256 of a block; its bytes where it is small.
pub fn described(data: &[u8]) -> Value {
    let digest = Code::Sha2_256.digest(data);
    let mut value = json!({"size": data.len(), "sha256": HEXLOWER.encode(digest.digest())});
    if data.len() <= SMALL_BLOCK {
        value["data"] = BASE64.encode(data).into();
    }
    value
}
