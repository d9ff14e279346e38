// SPDX-License-Identifier: BSD-3-Clause

//! Finds libvuc-vmm: in `VUC_VMM_LIB_DIR`, or by pkg-config.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=VUC_VMM_LIB_DIR");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    println!("cargo:rustc-link-lib=dylib=vuc-vmm");
    if let Some(dir) = env::var_os("VUC_VMM_LIB_DIR") {
        println!("cargo:rustc-link-search=native={}", dir.to_string_lossy());
        return;
    }
    let found = Command::new("pkg-config")
        .args(["--libs-only-L", "libvuc-vmm"])
        .output();
    match found {
        Ok(out) if out.status.success() => {
            for word in String::from_utf8_lossy(&out.stdout).split_whitespace() {
                println!(
                    "cargo:rustc-link-search=native={}",
                    word.trim_start_matches("-L")
                );
            }
        }
        _ => println!("cargo:warning=libvuc-vmm: pkg-config does not know it; set VUC_VMM_LIB_DIR"),
    }
}
