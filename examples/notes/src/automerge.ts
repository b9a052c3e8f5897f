import * as Automerge from '@automerge/automerge/slim';
import wasm from '@automerge/automerge/automerge.wasm?url';

// With the file beside the page, as any other; nothing that a bundler would have to be taught.
await Automerge.initializeWasm(wasm);

export { Automerge };
