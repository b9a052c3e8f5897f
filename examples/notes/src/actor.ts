import { placeKey, type Store } from './store';
import type { Place } from './place';

/** Pages of one browser that have an actor each, and keep it. */
const SLOTS = 16;

/**
 * Under which actor a page writes. A note takes changes of 64 actors, so a browser keeps the ones it has drawn. Two pages must
 * never write as one: a page locks the first that is free, for as long as it is there.
 */
export class Actor {
  #slot: number | undefined;
  #letGo: (() => void) | undefined;

  private constructor(
    readonly store: Store,
    readonly place: string,
    readonly identity: string,
    public name: string,
  ) {}

  static async take(store: Store, where: Place, identity: string): Promise<Actor> {
    const place = placeKey(where);
    const actor = new Actor(store, place, identity, drawn(identity));
    // Browsers have locks where a page comes over TLS or from the machine itself.
    if (!store.db || !navigator.locks) return actor;
    for (let slot = 0; slot < SLOTS; slot += 1) {
      const letGo = await lock(`tombolo-notes ${place} ${identity} ${slot}`);
      if (!letGo) continue;
      actor.#slot = slot;
      actor.#letGo = letGo;
      const kept = await store.actor(place, identity, slot);
      if (kept === undefined) await store.putActor(place, identity, slot, actor.name);
      else actor.name = kept;
      break;
    }
    return actor;
  }

  /** Writes under another one from now on: a number of the one before may have been given to a change that nobody has. */
  change(): void {
    this.name = drawn(this.identity);
    if (this.#slot === undefined) return;
    // If the browser cannot keep it, the next page finds out as this one did.
    this.store.putActor(this.place, this.identity, this.#slot, this.name).catch(() => {});
  }

  /** Somebody else may have it from now on. */
  release(): void {
    this.#letGo?.();
  }
}

/** The half that says whose it is (the module compares it with the caller), and a half that is drawn. */
function drawn(identity: string): string {
  const random = [...crypto.getRandomValues(new Uint8Array(8))];
  return prefixOf(identity) + random.map(byte => byte.toString(16).padStart(2, '0')).join('');
}

export function prefixOf(identity: string): string {
  return identity.slice(-16);
}

/** Takes a lock if nobody has it; gives what lets it go. */
function lock(name: string): Promise<(() => void) | undefined> {
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(name, { ifAvailable: true }, granted => {
        if (granted) return new Promise<void>(letGo => resolve(() => letGo()));
        resolve(undefined);
        return undefined;
      })
      .catch(reject);
  });
}
