import { useSyncExternalStore } from 'react';

/** A value that components follow. It lives outside of React, because connections do. */
export class Cell<T> {
  #value: T;
  readonly #followers = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  readonly get = (): T => this.#value;

  set(value: T): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const follower of [...this.#followers]) follower();
  }

  readonly follow = (follower: () => void): (() => void) => {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  };
}

export function useCell<T>(cell: Cell<T>): T {
  return useSyncExternalStore(cell.follow, cell.get);
}
