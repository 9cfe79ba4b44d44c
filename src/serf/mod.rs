//! The Serf layer: intents, user events, queries, keys, coordinates above `swim`'s members.
