/** Locks and grants, given and taken, and a thief with a sidecar's password who says again what was said: in some of the runs. */
import type { SealedEntry } from '../../src/feed/entry.ts';
import { epochS } from '../../src/kernel/clock.ts';
import { codeOf } from '../../src/kernel/error.ts';
import { ISSUER, orderOf } from '../support/replica-harness.ts';
import type { Fleet } from './fleet.ts';
import type { SimProcess } from './process.ts';
import type { Chances } from './random.ts';

const KINDS = ['replica', 'lift', 'ungrant', 'grant', 'lock', 'revocation', 'outcome', 'snapshot'] as const;

/** What is locked here; nothing else is named so. */
const LOCKED = /^locked /;

export class Facts {
  readonly #fleet: Fleet;
  readonly #chances: Chances;
  readonly #hasThief: boolean;
  readonly #said: SealedEntry[] = [];
  readonly #locks = new Set<string>();
  readonly #grants = new Set<string>();
  /** Answered: it is over. */
  readonly #over = new Set<string>();
  #count = 0;

  constructor(fleet: Fleet, chances: Chances) {
    this.#fleet = fleet;
    this.#chances = chances;
    this.#hasThief = chances.is(0.5);
  }

  /** An order that is of this file: nobody asks for its credential. */
  static isOf(credential: string): boolean {
    return LOCKED.test(credential);
  }

  heard(sealed: SealedEntry): void {
    this.#said.push(sealed);
  }

  step(): void {
    const process = this.#chances.of(this.#fleet.fresh);
    if (process !== undefined && this.#chances.is(0.5)) this.#order(process);
    if (this.#hasThief && this.#chances.is(0.12)) this.#sayAgain();
  }

  #order(process: SimProcess): void {
    const { live } = process;
    const n = (this.#count += 1);
    const [move, lock, grant] = [
      this.#chances.below(4),
      this.#chances.of([...this.#locks]),
      this.#chances.of([...this.#grants]),
    ];
    const note = (what: string, work: Promise<{ id: string }>, into: Set<string>): void => {
      const said = ({ id }: { id: string }): void => {
        into.add(id);
        this.#fleet.effect(what);
        this.#fleet.say(`${process.name}: ${what}: ${id}`);
      };
      void work.then(said, (error: unknown) =>
        this.#fleet.say(`${process.name}: not ${what}: ${codeOf(error)}`),
      );
    };
    const facts = { subject: { id: `s${n}` }, action: 'granted', resource: { type: 'invoice' } };
    const targets = [{ kind: 'jti', issuer: ISSUER, value: `locked ${n}` }] as const;
    const expiresAtMs = process.clock.now().wallMs + 3_600_000;
    process.deliver(() => {
      if (move === 0)
        note('locked', live.revoker.revoke(orderOf({ targets, wait: 'durable', expiresAtMs })), this.#locks);
      if (move === 1) {
        const order = { facts, request: { n }, caller: 'admin', idempotencyKey: undefined };
        note('granted', live.granter.grant(order), this.#grants);
      }
      if (move === 2 && lock !== undefined)
        note(
          'lifted',
          live.lifter.lift(lock, 'admin').then(() => ({ id: lock })),
          this.#over,
        );
      if (move === 3 && grant !== undefined)
        note(
          'taken away',
          live.granter
            .ungrant(grant, 'admin')
            .then(({ isApplied }) => (isApplied ? { id: grant } : Promise.reject(new Error('not yet')))),
          this.#over,
        );
    });
  }

  #sayAgain(): void {
    const { server } = this.#fleet;
    const { epochId } = server.roster();
    const kind = this.#chances.of(KINDS);
    const one = this.#chances.of(this.#said.filter(({ entry }) => entry.kind === kind));
    if (epochId === undefined || one === undefined) return;
    this.#fleet.effect('a thief says again what was said');
    this.#fleet.say(`a thief says ${one.entry.id} again`);
    server.forge(epochId, one);
  }

  /** What is in force is the same everywhere, and what is over stays so, where the store has forgotten nothing. */
  violations(): string[] {
    const { fresh, hasStoreForgotten, isAmnesiac } = this.#fleet;
    const inForce = fresh.map(({ name, live, clock }) => {
      const nowS = epochS(clock.now());
      const locks = [...this.#locks].filter((id) => live.view.locks.isInForce(id, nowS));
      return { name, ids: [...locks, ...[...this.#grants].filter((id) => live.grants.isInForce(id, nowS))] };
    });
    const [first] = inForce;
    const differ = inForce
      .filter(({ ids }) => ids.join() !== first?.ids.join())
      .map(
        ({ name, ids }) =>
          `FACTS: ${name} has ${ids.join()}, ${first?.name ?? ''} ${first?.ids.join() ?? ''}`,
      );
    if (hasStoreForgotten || isAmnesiac) return differ;
    const back = inForce.flatMap(({ name, ids }) =>
      ids.filter((id) => this.#over.has(id)).map((id) => `RETURNED: ${id} is in force on ${name}`),
    );
    return [...differ, ...back];
  }
}
