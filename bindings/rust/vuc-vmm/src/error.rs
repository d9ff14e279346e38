// SPDX-License-Identifier: BSD-3-Clause

use std::ffi::CStr;
use std::fmt;
use std::io;
use std::os::raw::c_int;

use crate::sys;

pub type Result<T> = std::result::Result<T, Error>;

pub(crate) const EINVAL: i32 = 22;

/// An error of libvuc-vmm: an errno, and one line that names the object and the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    errno: i32,
    text: String,
}

impl Error {
    pub(crate) fn new(errno: i32, text: impl Into<String>) -> Error {
        Error {
            errno,
            text: text.into(),
        }
    }

    /// The errno, positive, as the functions of `<vuc/vmm.h>` document it.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// From what a function returned and filled.
    pub(crate) fn from_c(ret: c_int, text: &CStr) -> Error {
        let text = text.to_string_lossy();

        if text.is_empty() {
            Error::new(-ret, io::Error::from_raw_os_error(-ret).to_string())
        } else {
            Error::new(-ret, text)
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Error {
        Error::new(e.raw_os_error().unwrap_or(EINVAL), e.to_string())
    }
}

impl From<Error> for io::Error {
    fn from(e: Error) -> io::Error {
        let kind = io::Error::from_raw_os_error(e.errno).kind();

        io::Error::new(kind, e)
    }
}

/// Call a function that fills a struct vuc_error. Returns what is not negative.
pub(crate) fn call(f: impl FnOnce(*mut sys::Error) -> c_int) -> Result<c_int> {
    let mut err = sys::Error {
        text: [0; sys::ERROR_MAX],
    };
    let ret = f(&mut err);

    if ret >= 0 {
        return Ok(ret);
    }
    // SAFETY: the library ends each text with NUL, and so do the zeros of one that it left alone.
    Err(Error::from_c(ret, unsafe {
        CStr::from_ptr(err.text.as_ptr())
    }))
}
