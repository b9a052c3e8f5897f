//! The compiler of TypeScript and the client library say whether the golden files are right.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn golden_files_compile_against_the_library() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let modules = fs::canonicalize(here.join("../tests/node/node_modules"))
        .expect("`cargo xtask test` installs what npm has to give");
    let include: Vec<PathBuf> = ["golden/**/*.ts"].map(|files| here.join(files)).into();
    let settings = serde_json::json!({
        "compilerOptions": {
            "strict": true,
            "noEmit": true,
            "target": "ES2022",
            "lib": ["ES2023", "DOM", "ESNext.Iterator"],
            "module": "ESNext",
            "moduleResolution": "bundler",
            "types": [],
            // As strict as templates of applications are. Declarations of the library do not
            // stand `exactOptionalPropertyTypes`.
            "skipLibCheck": true,
            "verbatimModuleSyntax": true,
            "isolatedModules": true,
            "erasableSyntaxOnly": true,
            "noImplicitOverride": true,
            "noUncheckedIndexedAccess": false,
            "paths": { "spacetimedb": [modules.join("spacetimedb/dist/index.d.ts")] },
        },
        "include": include,
    });
    let scratch = tempfile::tempdir().unwrap();
    let project = scratch.path().join("tsconfig.json");
    fs::write(&project, settings.to_string()).unwrap();
    let compiler = modules.join(".bin/tsc");
    let output = Command::new(compiler)
        .arg("-p")
        .arg(&project)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}
