//! Lets binaries find libtorch where it was linked, so that nobody needs `LD_LIBRARY_PATH`.
fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if ["CARGO_FEATURE_TRAIN", "CARGO_FEATURE_TORCH"]
        .iter()
        .all(|feature| std::env::var_os(feature).is_none())
    {
        return;
    }
    if let Some(libtorch) = std::env::var_os("LIBTORCH") {
        let lib = std::path::Path::new(&libtorch).join("lib");
        let lib = lib.canonicalize().unwrap_or(lib);
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    }
}
