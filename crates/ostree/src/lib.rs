//! ostree
