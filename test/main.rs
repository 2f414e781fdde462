//! One file a promise.
