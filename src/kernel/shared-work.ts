/**
 * One run of the same work for everyone who asks while another is under way: theirs begins after they asked, so that it
 * covers what they had done before. For what costs the same for one as for many: a reading of a table, an fsync.
 */
export class SharedWork {
  readonly #work: () => Promise<void>;
  #inFlight: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(work: () => Promise<void>) {
    this.#work = work;
  }

  /** Settles as a run does that begins after this call. */
  run(): Promise<void> {
    this.#next ??= this.#inFlight.then(() => {
      this.#next = undefined;
      const running = this.#work();
      this.#inFlight = running.catch(() => undefined);
      return running;
    });
    return this.#next;
  }
}
