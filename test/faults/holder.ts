/**
 * What keeps a live session open on the word of a replica, and has promised to end it by itself (DESIGN 3.2): it asks again
 * and again, over a way that may be long, and goes on for as long as the newest answer allows, counted from when it asked.
 */
import { requestOf, tokenOf } from '../support/replica-harness.ts';
import type { Agenda } from './agenda.ts';
import type { SimProcess } from './process.ts';
import type { Chances } from './random.ts';

export interface HolderPorts {
  readonly agenda: Agenda;
  readonly chances: Chances;
  readonly effect: (fault: string) => void;
  /** It may go on for longer now. */
  prolonged(holder: Holder): void;
}

/** The slowest clock that one may have. */
const RATE = 1 + 240e-6;

export class Holder {
  readonly credential: string;
  readonly process: SimProcess;
  readonly #ports: HolderPorts;
  #id: string | undefined;
  #untilMs: number | undefined;
  #isOver = false;
  /** It has promised so; else it goes on until it is told. */
  readonly selfEnds: boolean;
  /** Who let it in when its data directory had been copied; undefined where it had not been. */
  #besideCopy: SimProcess | undefined;

  constructor(ports: HolderPorts, process: SimProcess, credential: string, selfEnds = true) {
    this.#ports = ports;
    this.selfEnds = selfEnds;
    this.process = process;
    this.credential = credential;
  }

  get isOpen(): boolean {
    if (!this.selfEnds) return !this.#isOver && this.#id !== undefined;
    return !this.#isOver && this.#ports.agenda.nowMs < (this.#untilMs ?? 0);
  }

  get besideCopy(): SimProcess | undefined {
    return this.#besideCopy;
  }

  open(issuedAtS: number): void {
    const { credential: _, subject: __, ...request } = requestOf(undefined);
    const credential = { scheme: 'Bearer', token: tokenOf('billing', this.credential, issuedAtS) } as const;
    const order = {
      kind: 'relay',
      selfEnds: this.selfEnds,
      request: { ...request, credential, subject: undefined },
    };
    this.#ask(async (opener, sentMs) => {
      if (opener.isCopied) this.#besideCopy = opener;
      const { id, freshForMs = 0 } = await opener.live.keeper.open(order);
      return () => {
        this.#id = id;
        if (id !== undefined) this.#goOn(sentMs, freshForMs);
      };
    });
  }

  #ping(): void {
    const id = this.#id ?? '';
    if (this.#hasEnded()) return;
    this.#next();
    this.#ask(({ live }, sentMs) => {
      const { freshForMs, kill } = live.keeper.ping(id);
      return () => {
        if (kill === undefined) this.#goOn(sentMs, freshForMs);
        else this.#end(id);
      };
    });
  }

  #end(id: string): void {
    if (this.#hasEnded()) return;
    this.#isOver = true;
    this.#ports.effect('a session was told to end');
    this.#confirm(id);
  }

  /** Doors open once the ledger is replayed: until then nobody answers, and it is said again. */
  #confirm(id: string): void {
    this.#ask(({ live, isServing }) => {
      if (!isServing) return () => this.#confirm(id);
      live.keeper.closed(id);
      return () => undefined;
    });
  }

  #goOn(sentMs: number, freshForMs: number): void {
    const isNew = this.#untilMs === undefined;
    if (this.#hasEnded()) return;
    this.#untilMs = Math.max(this.#untilMs ?? 0, sentMs + freshForMs * RATE);
    this.#ports.prolonged(this);
    if (isNew) this.#next();
  }

  /** What has ended once never goes on: an answer that comes later is for nobody. */
  #hasEnded(): boolean {
    if (this.#isOver || this.#untilMs === undefined || this.isOpen) return this.#isOver;
    this.#ports.effect('a session ended by itself');
    return (this.#isOver = true);
  }

  #next(): void {
    this.#ports.agenda.after(this.#ports.chances.between(200, 1_200), () => this.#ping());
  }

  /** One request and what is made of its answer; a replica that refuses, or is gone, answers nothing. */
  #ask(serve: (process: SimProcess, sentMs: number) => (() => void) | Promise<() => void>): void {
    const { agenda } = this.#ports;
    const process = this.process.newest;
    const sentMs = agenda.nowMs;
    const served = async (): Promise<void> => {
      const answer = await serve(process, sentMs);
      agenda.after(this.#onWayMs(), answer);
    };
    agenda.after(this.#onWayMs(), () => process.deliver(() => void served().catch(() => undefined)));
  }

  #onWayMs(): number {
    const { chances } = this.#ports;
    return chances.is(0.1) ? chances.between(100, 2_500) : chances.between(0.1, 4);
  }
}
