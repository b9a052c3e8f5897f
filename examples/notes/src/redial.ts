/** First and longest time to wait before the next attempt. */
const WAIT_MS = { first: 500, longest: 15_000 };

/** Tries again, later each time; and at once when the page is looked at or the network is back. */
export class Redial {
  #wait = WAIT_MS.first;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #seen = () => {
    if (document.visibilityState === 'visible') this.now();
  };

  constructor(readonly dial: () => void) {
    addEventListener('online', this.#seen);
    document.addEventListener('visibilitychange', this.#seen);
  }

  /** After an attempt that failed, or a connection that ended. */
  later(): void {
    clearTimeout(this.#timer);
    // Not all pages of a peer that was started again at the same moment.
    const wait = this.#wait * (0.75 + Math.random() / 2);
    this.#timer = setTimeout(() => this.#dial(), wait);
    this.#wait = Math.min(this.#wait * 2, WAIT_MS.longest);
  }

  /** Only where an attempt is due. */
  now(): void {
    if (this.#timer !== undefined) this.#dial();
  }

  reached(): void {
    this.#wait = WAIT_MS.first;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    removeEventListener('online', this.#seen);
    document.removeEventListener('visibilitychange', this.#seen);
  }

  #dial(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.dial();
  }
}
