import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  EPS_MS,
  Lease,
  PEP_TIMEOUT_MS,
  enforcedByWaitMs,
  leaseOverMs,
  longer,
} from '../../src/feed/lease.ts';

const term = { leaseMs: 3000, epsMs: EPS_MS };
const at = (monoMs: number, wallMs = monoMs) => ({ monoMs, wallMs });

describe('a lease', () => {
  it('is not there before the first one is adopted', () => {
    const lease = new Lease(term);
    expect(lease.freshForMs(at(0))).toBe(0);
    expect(lease.isFresh(at(0))).toBe(false);
  });

  it('is good for L less eps, counted from the sending of its renewal', () => {
    const lease = new Lease(term);
    lease.adopt(at(1000));
    expect(lease.freshForMs(at(1000))).toBe(2950);
    expect(lease.freshForMs(at(1400))).toBe(2550);
    expect(lease.isFresh(at(3949))).toBe(true);
    expect(lease.isFresh(at(3950))).toBe(false);
    expect(lease.freshForMs(at(99_000))).toBe(0);
  });

  it('ages by whichever clock says more: a suspend shows on one of them only (THREATS 10.13)', () => {
    const lease = new Lease(term);
    lease.adopt(at(1000, 50_000));
    expect(lease.isFresh(at(1100, 60_000))).toBe(false);
    expect(lease.isFresh(at(9000, 50_100))).toBe(false);
    expect(lease.isFresh(at(1100, 40_000))).toBe(true);
  });

  it('is never shortened by a reply to an earlier renewal that comes late', () => {
    const lease = new Lease(term);
    lease.adopt(at(2000));
    lease.adopt(at(1000));
    expect(lease.freshForMs(at(2000))).toBe(2950);
    lease.adopt(at(2500));
    expect(lease.freshForMs(at(2500))).toBe(2950);
  });

  it('is over at once when it is dropped, until a new one comes', () => {
    const lease = new Lease(term);
    lease.adopt(at(1000));
    lease.drop();
    expect(lease.isFresh(at(1000))).toBe(false);
    lease.adopt(at(500));
    expect(lease.isFresh(at(600))).toBe(true);
  });

  it('tells how old the newest news is, also once it is over or dropped', () => {
    const lease = new Lease(term);
    expect(lease.staleForMs(at(1000))).toBe(Infinity);
    lease.adopt(at(1000));
    expect(lease.staleForMs(at(1400))).toBe(400);
    lease.drop();
    expect(lease.staleForMs(at(9000))).toBe(8000);
    lease.adopt(at(9500));
    expect(lease.staleForMs(at(9600))).toBe(100);
  });

  it('is over for its holder before it is over for who waits, however their clock rates differ', () => {
    const rates = fc.double({ min: 1 - 250e-6, max: 1 + 250e-6, noNaN: true });
    const terms = fc.integer({ min: 500, max: 60_000 });
    fc.assert(
      fc.property(terms, rates, rates, (leaseMs, holderRate, waiterRate) => {
        const lease = new Lease({ leaseMs, epsMs: EPS_MS });
        lease.adopt(at(0));
        const trueMs = leaseOverMs({ leaseMs, epsMs: EPS_MS }) / waiterRate;
        expect(lease.isFresh(at(trueMs * holderRate))).toBe(false);
      }),
    );
  });
});

describe('the bound', () => {
  it('is L, what clock rates may differ by, eps, and what an enforcement point may still act on', () => {
    expect(leaseOverMs(term)).toBe(3052);
    expect(enforcedByWaitMs(term)).toBe(3052 + PEP_TIMEOUT_MS);
    expect(PEP_TIMEOUT_MS).toBe(200);
  });

  it('is longer, for who waits alone, by how long a store that was replaced may go on', () => {
    const split = { ...term, splitMs: 7_000 };
    expect(leaseOverMs(split)).toBe(10_052);
    expect(enforcedByWaitMs(split)).toBe(10_052 + PEP_TIMEOUT_MS);
    const lease = new Lease(split);
    lease.adopt(at(0));
    expect(lease.isFresh(at(2_950))).toBe(false);
  });
});

it('waits, of two terms, for the longer lease and for the longer split, whosever they are', () => {
  const failover = { ...term, splitMs: 12_000 };
  expect(longer(term, { leaseMs: 10_000, splitMs: 0 })).toMatchObject({ leaseMs: 10_000, splitMs: 0 });
  expect(longer(failover, { leaseMs: 10_000, splitMs: 0 })).toMatchObject({
    leaseMs: 10_000,
    splitMs: 12_000,
  });
  expect(longer(term, { leaseMs: 500, splitMs: 7_000 })).toMatchObject({ leaseMs: 3_000, splitMs: 7_000 });
  expect(longer(failover)).toEqual(failover);
});
