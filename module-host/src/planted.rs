//! Mistakes made on purpose, see the crate `plants`.

/// Whether this mistake of [`plants::Plant`] is to be made.
#[cfg(feature = "plants")]
macro_rules! planted {
    ($plant:ident) => {
        plants::is(plants::Plant::$plant)
    };
}

/// Never: an ordinary build makes no mistakes on purpose.
#[cfg(not(feature = "plants"))]
macro_rules! planted {
    ($plant:ident) => {
        false
    };
}
