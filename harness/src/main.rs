//! plugpull: pulls the plug on a storage program and says whether it kept its promises.
fn main() {}
