// Reads float32 from standard input and writes their ReLU to standard output. With cargo, the
// crate `cc` does the first two commands in build.rs, and bindgen reads relu_ext.h.
//
//     $ cc -O3 -fPIC -c $(relu-ext config --sources)
//     $ ar rcs librelu_ext.a relu_ext.o
//     $ rustc -O -L . -l static=relu_ext main.rs -o program
use std::io::{Read, Write};

unsafe extern "C" {
    fn relu_f32(x: *const f32, y: *mut f32, n: usize);
}

/// In place: the output may be the input.
fn relu(x: &mut [f32]) {
    unsafe { relu_f32(x.as_ptr(), x.as_mut_ptr(), x.len()) }
}

fn main() -> std::io::Result<()> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    let mut x: Vec<f32> =
        bytes.chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect();
    relu(&mut x);
    let result: Vec<u8> = x.iter().flat_map(|v| v.to_ne_bytes()).collect();
    std::io::stdout().write_all(&result)
}
