//! How storage and processes fail.
#![allow(missing_docs)]
