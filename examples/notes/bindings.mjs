// Writes `src/module_bindings`, the code with which the page talks to the module: `npm run bindings`.
// Arguments go on to `tombolo generate` and say which module it is. Without any, it is the one of
// `examples/modules/notes`, as `cargo xtask wasm` compiles it.

import { spawnSync } from 'node:child_process';

const program = process.env.TOMBOLO || 'tombolo';
const given = process.argv.slice(2);
const module = given.length > 0 ? given : ['--bin-path', '../../target/wasm/notes.wasm'];
// The page's mark comes from the tables in which a peer tells about itself.
const words = ['generate', '--lang', 'typescript', '--system-tables', '--out-dir', 'src/module_bindings', ...module];
const ended = spawnSync(program, words, { cwd: import.meta.dirname, stdio: 'inherit' });
if (ended.error) {
  const reason = ended.error.code === 'ENOENT' ? `there is no program "${program}"` : `cannot run ${program}: ${ended.error.message}`;
  console.error(`bindings: ${reason}. Put tombolo on the path, or say where it is, as in
  TOMBOLO=../../target/release/tombolo npm run bindings`);
}
process.exitCode = ended.status ?? 1;
