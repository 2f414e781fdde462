//! What the promises share: a store, the commands, oracles.
