/**
 * What one turn of the event loop does, and in which order: what has arrived is answered, then one piece of what is long goes
 * on. Each with a callback of its own, a request that arrives in a piece would wait for the next one as well.
 */

/**
 * `urgent`: what a lease depends on. `asked`: a long question of whoever asks whether he may, of whom there may be any number.
 * `patient`: what is done for nobody who asks that; it leaves most of the loop to those who do, while there are any.
 */
export type Haste = 'urgent' | 'asked' | 'patient';

/** Between two pieces of what is patient, of a quarter of a millisecond each: so all of it has a fifth of the loop. */
const PATIENCE_MS = 1;
/** Since the last answer: whoever asks now and then is not kept waiting either. */
const SERVING_MS = 20;
/** Ticks of a millisecond, which come late where the loop or the machine is full, until the next of many long orders. */
const BREATH_TICKS = 50;
const BREATH_MS_MAX = 150;
/** So that who orders once beside many others waits for a second or so. Who comes after these leaves with the last of them. */
const BREATHS_MAX = 8;

export class Turns {
  readonly #answers: (() => void)[] = [];
  readonly #urgent: (() => void)[] = [];
  readonly #own: (() => void)[] = [];
  readonly #asked: (() => void)[] = [];
  readonly #patient: (() => void)[] = [];
  #isSet = false;
  #wasUrgent = false;
  #wasOwn = false;
  #answered = 0;
  /** Something was answered just now. */
  #isServing = false;
  #isPatient = false;
  #breath = Promise.resolve();
  #breaths = 0;

  /** Calls `answer` in the next turn, before anything long goes on. It must not throw. */
  answer(answer: () => void): void {
    this.#answers.push(answer);
    this.#set();
  }

  /**
   * Resolves in a later turn. However many have long work, each turn has one piece of it, or those that are urgent: they
   * have every other one, and all while nobody else waits. Of the rest every other one is not for those who ask, however many
   * they are. While something is answered, one that is patient has one in a millisecond.
   */
  next(haste?: Haste): Promise<void> {
    const turn = Promise.withResolvers<void>();
    if (haste === 'patient' && this.#isServing) {
      this.#patient.push(turn.resolve);
      if (!this.#isPatient) void this.#letOn();
    } else {
      this.#laneOf(haste).push(turn.resolve);
      this.#set();
    }
    return turn.promise;
  }

  /**
   * Resolves once those who ask have had the loop for a while since whoever called this before: at once for the first one, or
   * while nothing is answered. They leave one after the other, a few at most; after those all at once.
   */
  breathe(): Promise<void> {
    const before = this.#breath;
    if (this.#breaths < BREATHS_MAX) {
      this.#breaths += 1;
      this.#breath = before.then(() => this.#breatheOut());
    }
    return before;
  }

  async #breatheOut(): Promise<void> {
    let isLong = false;
    void delay(BREATH_MS_MAX).then(() => (isLong = true));
    for (let i = 0; i < BREATH_TICKS && this.#isServing && !isLong; i++) await delay(1);
    this.#breaths -= 1;
  }

  #laneOf(haste: Haste | undefined): (() => void)[] {
    return haste === 'urgent' ? this.#urgent : haste === 'asked' ? this.#asked : this.#own;
  }

  /** What is patient waits with all others from then on, one after the other. */
  async #letOn(): Promise<void> {
    this.#isPatient = true;
    for (let wake; (wake = this.#patient.shift()) !== undefined;) {
      await delay(PATIENCE_MS);
      this.#own.push(wake);
      this.#set();
    }
    this.#isPatient = false;
  }

  /** For as long as answers go on, and a little longer. */
  async #serve(): Promise<void> {
    this.#isServing = true;
    for (let answered = 0; answered !== this.#answered;) {
      answered = this.#answered;
      await delay(SERVING_MS);
    }
    this.#isServing = false;
  }

  #set(): void {
    if (this.#isSet) return;
    this.#isSet = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#isSet = false;
    this.#answered += this.#answers.length;
    if (this.#answers.length > 0 && !this.#isServing) void this.#serve();
    for (const answer of this.#answers.splice(0)) answer();
    const woken = this.#nextWoken();
    if (this.#urgent.length + this.#own.length + this.#asked.length > 0) this.#set();
    for (const wake of woken) wake();
  }

  #nextWoken(): (() => void)[] {
    const isAnyOther = this.#own.length + this.#asked.length > 0;
    this.#wasUrgent = this.#urgent.length > 0 && !(this.#wasUrgent && isAnyOther);
    if (this.#wasUrgent) return this.#urgent.splice(0);
    this.#wasOwn = this.#own.length > 0 && !(this.#wasOwn && this.#asked.length > 0);
    return (this.#wasOwn ? this.#own : this.#asked).splice(0, 1);
  }
}

/** Keeps no process alive. */
function delay(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms).unref());
}

/** Of this thread. */
export const turns = new Turns();
