//! The imports `tombolo_1.0`, and what they answer. Everywhere but in a module there are none, and everything
//! answers with an error: code that uses this crate compiles for tests all the same.

use crate::Error;

/// What an import gave: its result, or why there is none.
pub(crate) type Answer = Result<Vec<u8>, Error>;

/// Declares imports. Where there are none, they answer that they did nothing.
macro_rules! imports {
    ($($name:ident($($arg:ident: $kind:ty),*);)*) => {
        #[cfg(target_arch = "wasm32")]
        #[link(wasm_import_module = "tombolo_1.0")]
        unsafe extern "C" {
            $(fn $name($($arg: $kind),*) -> u32;)*
        }
        $(
            #[cfg(not(target_arch = "wasm32"))]
            unsafe fn $name($($arg: $kind),*) -> u32 {
                $(let _ = $arg;)*
                NOWHERE
            }
        )*
    };
}

imports! {
    document_open(out: *mut u32);
    document_merge(document: u32, changes: *const u8, len: usize, out: *mut u32);
    document_act(document: u32, salt: *const u8, len: usize, out: *mut u32);
    document_put(document: u32, path: *const u8, path_len: usize, json: *const u8, json_len: usize, out: *mut u32);
    document_insert(document: u32, path: *const u8, path_len: usize, json: *const u8, json_len: usize, out: *mut u32);
    document_put_counter(document: u32, path: *const u8, path_len: usize, start: i64, out: *mut u32);
    document_increment(document: u32, path: *const u8, path_len: usize, by: i64, out: *mut u32);
    document_delete(document: u32, path: *const u8, path_len: usize, out: *mut u32);
    document_splice(document: u32, path: *const u8, path_len: usize, at: u32, delete: u32, text: *const u8, text_len: usize, out: *mut u32);
    document_commit(document: u32, out: *mut u32);
    document_changes(document: u32, out: *mut u32);
    document_heads(document: u32, out: *mut u32);
    document_json(document: u32, path: *const u8, path_len: usize, out: *mut u32);
    document_text(document: u32, path: *const u8, path_len: usize, out: *mut u32);
    change_read(change: *const u8, len: usize, out: *mut u32);
    change_check(change: *const u8, len: usize, others: *const u8, others_len: usize, seen: u32, out: *mut u32);
}

#[cfg(target_arch = "wasm32")]
#[link(wasm_import_module = "tombolo_1.0")]
unsafe extern "C" {
    fn document_close(document: u32);
}

#[cfg(target_arch = "wasm32")]
#[link(wasm_import_module = "spacetime_10.0")]
unsafe extern "C" {
    fn bytes_source_read(source: u32, buffer: *mut u8, len: *mut usize) -> i32;
}

#[cfg(target_arch = "wasm32")]
#[link(wasm_import_module = "spacetime_10.1")]
unsafe extern "C" {
    fn bytes_source_remaining_length(source: u32, out: *mut u32) -> i32;
}

/// Status of an import that did what it was asked to.
const DONE: u32 = 0;
/// Status of an import that did not; the result is the reason.
const REFUSED: u32 = 1;
/// Status where there are no imports.
#[cfg(not(target_arch = "wasm32"))]
const NOWHERE: u32 = u32::MAX;

/// Calls an import that gives the number of a byte source.
fn answer(import: impl FnOnce(*mut u32) -> u32) -> Answer {
    let mut source = 0;
    match import(&raw mut source) {
        DONE => Ok(read(source)),
        REFUSED => Err(Error::new(String::from_utf8_lossy(&read(source)))),
        _ => Err(nowhere()),
    }
}

fn nowhere() -> Error {
    Error::new("documents are there in the calls and views of a module only")
}

/// Empties a byte source; source 0 is empty.
#[cfg(target_arch = "wasm32")]
fn read(source: u32) -> Vec<u8> {
    if source == 0 {
        return Vec::new();
    }
    let mut len = 0;
    // SAFETY: the pointer is that of a number.
    unsafe { bytes_source_remaining_length(source, &raw mut len) };
    let mut bytes = vec![0; len as usize];
    let mut len = bytes.len();
    // SAFETY: the buffer has as many bytes as is said. All are read, so the source is gone.
    unsafe { bytes_source_read(source, bytes.as_mut_ptr(), &raw mut len) };
    bytes.truncate(len);
    bytes
}

#[cfg(not(target_arch = "wasm32"))]
fn read(_: u32) -> Vec<u8> {
    Vec::new()
}

/// A document that is open; closed when it is dropped.
#[derive(Debug)]
pub(crate) struct Handle(u32);

impl Drop for Handle {
    fn drop(&mut self) {
        #[cfg(target_arch = "wasm32")]
        // SAFETY: no pointer is handed over.
        unsafe {
            document_close(self.0);
        }
    }
}

// SAFETY, for all that follows: every pointer comes with the number of bytes that it points to, which are
// borrowed until the import returns, and what is written is one number.
impl Handle {
    pub(crate) fn open() -> Result<Self, Error> {
        let mut handle = 0;
        match unsafe { document_open(&raw mut handle) } {
            DONE => Ok(Self(handle)),
            _ => Err(nowhere()),
        }
    }

    pub(crate) fn merge(&self, changes: &[u8]) -> Answer {
        answer(|out| unsafe { document_merge(self.0, changes.as_ptr(), changes.len(), out) })
    }

    pub(crate) fn act(&self, salt: &[u8]) -> Answer {
        answer(|out| unsafe { document_act(self.0, salt.as_ptr(), salt.len(), out) })
    }

    pub(crate) fn put(&self, path: &str, json: &str) -> Answer {
        let (path, path_len) = (path.as_ptr(), path.len());
        answer(|out| unsafe {
            document_put(self.0, path, path_len, json.as_ptr(), json.len(), out)
        })
    }

    pub(crate) fn insert(&self, path: &str, json: &str) -> Answer {
        let (path, path_len) = (path.as_ptr(), path.len());
        answer(|out| unsafe {
            document_insert(self.0, path, path_len, json.as_ptr(), json.len(), out)
        })
    }

    pub(crate) fn put_counter(&self, path: &str, start: i64) -> Answer {
        answer(|out| unsafe { document_put_counter(self.0, path.as_ptr(), path.len(), start, out) })
    }

    pub(crate) fn increment(&self, path: &str, by: i64) -> Answer {
        answer(|out| unsafe { document_increment(self.0, path.as_ptr(), path.len(), by, out) })
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        answer(|out| unsafe { document_delete(self.0, path.as_ptr(), path.len(), out) })
    }

    pub(crate) fn splice(&self, path: &str, at: u32, delete: u32, text: &str) -> Answer {
        let (path, path_len) = (path.as_ptr(), path.len());
        answer(|out| unsafe {
            document_splice(
                self.0,
                path,
                path_len,
                at,
                delete,
                text.as_ptr(),
                text.len(),
                out,
            )
        })
    }

    pub(crate) fn commit(&self) -> Answer {
        answer(|out| unsafe { document_commit(self.0, out) })
    }

    pub(crate) fn changes(&self) -> Answer {
        answer(|out| unsafe { document_changes(self.0, out) })
    }

    pub(crate) fn heads(&self) -> Answer {
        answer(|out| unsafe { document_heads(self.0, out) })
    }

    pub(crate) fn json(&self, path: &str) -> Answer {
        answer(|out| unsafe { document_json(self.0, path.as_ptr(), path.len(), out) })
    }

    pub(crate) fn text(&self, path: &str) -> Answer {
        answer(|out| unsafe { document_text(self.0, path.as_ptr(), path.len(), out) })
    }
}

/// What a change says of itself, as BSATN.
pub(crate) fn read_change(change: &[u8]) -> Answer {
    answer(|out| unsafe { change_read(change.as_ptr(), change.len(), out) })
}

/// Judges a change beside those that hold what it needs.
pub(crate) fn check_change(change: &[u8], others: &[u8], seen: u32) -> Answer {
    let (bytes, len) = (change.as_ptr(), change.len());
    answer(|out| unsafe { change_check(bytes, len, others.as_ptr(), others.len(), seen, out) })
}
