//! Packets with descriptors over a `SOCK_SEQPACKET` socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, recvmsg, sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::sys;

/// The largest packet, in bytes. The kernel's default send buffer holds about 200 KiB.
const LARGEST: usize = 192 * 1024;
/// The most descriptors in one packet.
const MOST_FDS: usize = 5;

/// A pair of connected sockets, closed at exec.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?)
}

/// Sends one message with descriptors. `EPIPE` when the other side is gone: no signal.
pub(super) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message).map_err(io::Error::other)?;
    if bytes.len() > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} bytes of arguments are too many", bytes.len()),
        ));
    }
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[] } else { &rights[..] };
    loop {
        let sent = sendmsg::<()>(
            socket.as_fd().as_raw_fd(),
            &[IoSlice::new(&bytes)],
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        );
        match sent {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(_) => return Ok(()),
        }
    }
}

/// Room for the next packet, once there is one; none at end of file. Most are a hundredth of the largest, which
/// would have to be cleared for each.
fn room(socket: RawFd) -> io::Result<Option<Vec<u8>>> {
    // The whole length, whatever fits (recv(2), MSG_TRUNC).
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
    loop {
        match recv(socket, &mut [0], flags) {
            Err(Errno::EINTR) => {}
            // A peer that died with packets unread resets the connection.
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(None),
            Ok(length) => return Ok(Some(vec![0; length.min(LARGEST)])),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Receives one message with its descriptors, which close at exec; none at end of file.
pub(super) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let Some(mut bytes) = room(socket.as_fd().as_raw_fd())? else {
        return Ok(None);
    };
    let mut control = nix::cmsg_space!([RawFd; MOST_FDS]);
    let (length, flags, fds) = loop {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg::<()>(
            socket.as_fd().as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::MSG_CMSG_CLOEXEC,
        );
        match received {
            Err(Errno::EINTR) => {}
            // A peer that died with packets unread resets the connection.
            Err(Errno::ECONNRESET) => return Ok(None),
            Err(errno) => return Err(errno.into()),
            Ok(message) => {
                #[expect(unsafe_code, reason = "taking ownership is unsafe by its nature")]
                // SAFETY: the message came just now, and nobody else looks at its descriptors.
                let fds = unsafe { sys::own(&message)? };
                break (message.bytes, message.flags, fds);
            }
        }
    };
    if length == 0 {
        return Ok(None);
    }
    if flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a packet was cut",
        ));
    }
    let message = serde_json::from_slice(&bytes[..length])?;
    Ok(Some((message, fds)))
}
