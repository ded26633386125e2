//! Messages within a body: a byte that says whether it is compressed, the length as four bytes,
//! big end first, the message.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

/// Bytes before each message.
const PREFIX: usize = 5;

/// One message, framed.
pub(super) fn framed(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PREFIX + message.len());
    bytes.put_u8(0);
    // A message of 4 GiB is beyond anything that is written here.
    bytes.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    bytes.put_slice(message);
    bytes.freeze()
}

/// Cuts the first whole message off `buffer`; none when it is not all there. An error where it is
/// compressed, which nobody asked for.
pub(super) fn cut(buffer: &mut BytesMut) -> Result<Option<Bytes>, String> {
    if buffer.len() < PREFIX {
        return Ok(None);
    }
    if buffer[0] != 0 {
        return Err("a compressed message, which was not asked for".into());
    }
    let length = u32::from_be_bytes([buffer[1], buffer[2], buffer[3], buffer[4]]) as usize;
    if buffer.len() < PREFIX + length {
        return Ok(None);
    }
    buffer.advance(PREFIX);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// Every message of a whole body.
pub(super) fn messages<M: Message + Default>(mut body: BytesMut) -> Result<Vec<M>, String> {
    let mut all = Vec::new();
    while let Some(message) = cut(&mut body)? {
        all.push(M::decode(message).map_err(|e| e.to_string())?);
    }
    if body.is_empty() {
        Ok(all)
    } else {
        Err(format!("{} bytes that are no whole message", body.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_where_they_end() {
        let mut both = BytesMut::new();
        both.extend_from_slice(&framed(b"one"));
        both.extend_from_slice(&framed(b""));
        let mut part = BytesMut::from(&both[..7]);
        assert_eq!(cut(&mut part), Ok(None));
        assert_eq!(
            cut(&mut both).map(|m| m.map(|m| m.to_vec())),
            Ok(Some(b"one".to_vec()))
        );
        assert_eq!(cut(&mut both).map(|m| m.map(|m| m.len())), Ok(Some(0)));
        assert_eq!(cut(&mut both), Ok(None));
        assert!(cut(&mut BytesMut::from(&[1_u8, 0, 0, 0, 0][..])).is_err());
    }
}
