/**
 * Found by attack: a replica that was killed and started again with a shorter lease answered `enforced` while the
 * holder of a session, which keeps to the `freshForMs` it was told before, could go on for most of a minute.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SessionFile } from '../../src/edges/system/session-file.ts';
import { FINGERPRINTER, recordOf } from '../session/sessions.ts';

const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
let dataDir: string;
let opened: SessionFile[];

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'writ-lease-'));
  opened = [];
});

afterEach(() => {
  for (const file of opened) file.close();
  rmSync(dataDir, { recursive: true });
});

/** A run with this lease. The one before it is not closed: it crashed. */
function run(leaseMs: number): SessionFile {
  const file = new SessionFile(dataDir, FINGERPRINTER, log, leaseMs);
  opened.push(file);
  return file;
}

describe('the lease of a restored session’s holder', () => {
  it('is that of the run that let it in, through any number of restarts with a shorter one', () => {
    run(60_000).opened(recordOf('s1'));
    expect(run(500).holderLeaseMs).toBe(60_000);
    expect(run(500).holderLeaseMs).toBe(60_000);
  });

  it('is that of this run when this run’s is longer, or nothing is open any more', () => {
    const record = recordOf('s1');
    const first = run(3_000);
    first.opened(record);
    expect(run(5_000).holderLeaseMs).toBe(5_000);
    const last = run(500);
    expect(last.holderLeaseMs).toBe(5_000);
    last.ended(record.ref, []);
    expect(run(500).holderLeaseMs).toBe(500);
  });
});
