import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SessionFile } from '../../../src/edges/system/session-file.ts';
import type { Log, LogFields } from '../../../src/kernel/log.ts';
import { SessionRegistry } from '../../../src/session/registry.ts';
import { sessionRefOf } from '../../../src/session/session.ts';
import { dead, FINGERPRINTER, killNow, recordOf } from '../../session/sessions.ts';
import { mintToken, NOW_MS, verified, verifierOf } from '../../support/tokens.ts';

let dataDir: string;
let opened: SessionFile[];
let warnings: [sentence: string, fields: LogFields | undefined][];

const log: Log = {
  info: () => undefined,
  warn: (sentence, fields) => warnings.push([sentence, fields]),
  error: () => undefined,
};

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'writ-sessions-'));
  opened = [];
  warnings = [];
});

afterEach(() => {
  for (const file of opened) file.close();
  rmSync(dataDir, { recursive: true });
});

const pathOf = () => join(dataDir, 'sessions.jsonl');
const textOf = () => readFileSync(pathOf(), 'utf8');
const linesOf = () => textOf().split('\n').slice(0, -1);

/** A run of the replica. The one before it is not closed: it crashed. */
function run(): SessionFile {
  const file = new SessionFile(dataDir, FINGERPRINTER, log, 3_000);
  opened.push(file);
  return file;
}

describe('sessions on disk', () => {
  it('are none at first start, in a file for its owner only', () => {
    expect(run().restored).toEqual([]);
    expect(textOf()).toBe('');
    expect(statSync(pathOf()).mode & 0o777).toBe(0o600);
    expect(readdirSync(dataDir)).toEqual(['sessions.jsonl']);
  });

  it('survive a crash exactly as they were, the moment they were opened', () => {
    const records = [
      recordOf('s1'),
      recordOf('s2', { selfEnds: true, issuedAtS: undefined, expiresAtS: undefined, kind: 'websocket' }),
    ];
    const file = run();
    for (const record of records) file.opened(record);
    expect(run().restored).toEqual(records);
    expect(run().restored).toEqual(records);
    expect(warnings).toEqual([]);
  });

  it('survive with what they were decided on, and share the text of one credential', () => {
    const grounds = { request: '{"subject":{"id":"é\u2028"}}', credential: '{"claims":{}}' };
    const records = ['s1', 's2'].map((id) => recordOf(id, { actor: 'agent', grounds }));
    const file = run();
    for (const record of records) file.opened(record);
    // A fresher credential is a second line about the same session.
    const fresh = { ...recordOf('s1'), grounds: { ...grounds, credential: '{"claims":{"a":1}}' } };
    file.opened(fresh);
    expect(run().restored).toEqual([fresh, records[1]]);
    expect(linesOf()).toHaveLength(2);
  });

  it('may be more than is read or written at once', () => {
    const grounds = { request: `"${'é€'.repeat(30_000)}"`, credential: '{}' };
    const records = Array.from({ length: 1_010 }, (_, i) =>
      recordOf(`s${String(i)}`, i % 50 === 0 ? { grounds } : {}),
    );
    const file = run();
    for (const record of records) file.opened(record);
    expect(run().restored).toEqual(records);
    expect(run().restored).toEqual(records);
    expect(warnings).toEqual([]);
  });

  it('do not survive once they have ended', () => {
    const file = run();
    const records = ['s1', 's2', 's3'].map((id) => recordOf(id));
    for (const record of records) file.opened(record);
    file.ended(sessionRefOf('s2'), []);
    const next = run();
    expect(next.restored).toEqual([records[0], records[2]]);
    next.ended(sessionRefOf('s1'), []);
    expect(run().restored).toEqual([records[2]]);
    expect(linesOf()).toHaveLength(1);
  });

  it('that were told to end are told to end in every run after it', async () => {
    const file = run();
    const records = ['s1', 's2', 's3'].map((id) => recordOf(id));
    for (const record of records) file.opened(record);
    const locked = { reason: 'locked', revocation: 'lck_1', position: '1-2' } as const;
    const denied = { reason: 'policy_denied', position: '1-3' } as const;
    file.told(sessionRefOf('s1'), locked);
    file.told(sessionRefOf('s3'), denied);
    file.told(sessionRefOf('gone'), denied);
    await Promise.resolve();
    const expected = [{ ...records[0], told: locked }, records[1], { ...records[2], told: denied }];
    expect(linesOf()).toHaveLength(5);
    // Written anew, and as it was appended.
    expect(run().restored).toEqual(expected);
    const last = run();
    expect(last.restored).toEqual(expected);
    last.told(sessionRefOf('s2'), denied);
    last.close();
    opened.pop();
    expect(run().restored.map(({ told }) => told?.reason)).toEqual([
      'locked',
      'policy_denied',
      'policy_denied',
    ]);
    expect(warnings).toEqual([]);
  });

  it('that ended, or were let go without proof, are counted under what killed them, in every run after it', () => {
    const file = run();
    for (const id of ['s1', 's2', 's3', 's4']) file.opened(recordOf(id));
    file.lost(sessionRefOf('s1'), ['rev_1', 'lck_1']);
    file.lost(sessionRefOf('s2'), ['rev_1']);
    file.lost(sessionRefOf('gone'), ['rev_1']);
    file.ended(sessionRefOf('s4'), ['rev_1', 'rev_2']);
    for (let times = 0; times < 2; times++) {
      const next = run();
      expect(Object.fromEntries(next.restoredCounts())).toEqual({
        rev_1: { lost: 2, killed: 1 },
        lck_1: { lost: 1, killed: 0 },
        rev_2: { lost: 0, killed: 1 },
      });
      expect(next.restored.map(({ ref }) => ref)).toEqual([sessionRefOf('s3')]);
    }
    const last = run();
    last.lost(sessionRefOf('s3'), ['rev_1']);
    // A session and its loss are one line: after a crash it is the one or the other.
    expect(linesOf().at(-1)).toBe(JSON.stringify({ ended: sessionRefOf('s3'), lost: { rev_1: 1 } }));
    expect(new Map(run().restoredCounts()).get('rev_1')).toEqual({ lost: 3, killed: 1 });
    last.forgotten('rev_1');
    expect([...last.restoredCounts()].map(([claim]) => claim)).toEqual(['lck_1', 'rev_2']);
    expect(warnings).toEqual([]);
  });

  it('can be killed by the run after the crash', () => {
    const before = new SessionRegistry(run(), 3_000);
    const record = recordOf('s1');
    before.register(record, 0);
    before.keep(record);
    const file = run();
    const after = new SessionRegistry(file, 3_000);
    for (const one of file.restored) after.restore(one, 0, { monoMs: 0, wallMs: 0 });
    const now = { monoMs: 1000, wallMs: NOW_MS };
    expect(killNow(after, 'rev_1', [dead('jti-s1')], { at: now })).toBe(1);
    expect(after.tally('rev_1', now)).toMatchObject({ matched: 1, killed: 0, pending: 1 });
    after.end(record.ref);
    expect(run().restored).toEqual([]);
  });

  it('leave no trace when they never were on disk', () => {
    const file = run();
    file.ended(sessionRefOf('refused'), []);
    expect(textOf()).toBe('');
  });

  it('are found around damaged lines, and each of those is passed over and said', () => {
    const file = run();
    file.opened(recordOf('s1'));
    appendFileSync(pathOf(), 'not json\n\n{"opened":{"ref":"half"}}\n{"other":1}\n[]\n');
    file.opened(recordOf('s2'));
    appendFileSync(pathOf(), '{"opened":{"ref":"torn');
    expect(run().restored).toEqual([recordOf('s1'), recordOf('s2')]);
    const damaged = 'a line of the session file is damaged and was passed over';
    expect(warnings).toEqual(Array(5).fill([damaged, { file: pathOf() }]));
    warnings.length = 0;
    expect(run().restored).toHaveLength(2);
    expect(warnings).toEqual([]);
  });

  it('are not begun on what a crash left aside', () => {
    run().opened(recordOf('s1'));
    writeFileSync(`${pathOf()}.tmp`, 'half a file');
    expect(run().restored).toEqual([recordOf('s1')]);
    expect(readdirSync(dataDir)).toEqual(['sessions.jsonl']);
  });

  it('are not forgotten because their file cannot be read: the replica does not start', () => {
    mkdirSync(pathOf());
    expect(() => run()).toThrow(expect.objectContaining({ code: 'INTERNAL' }) as Error);
    expect(() => run()).toThrow('cannot be read (EISDIR)');
  });

  it('hold neither the id of a session nor the credential it stands on', async () => {
    const token = mintToken();
    const { handles, subject, issuedAtS, expiresAtS } = await verified(verifierOf(), token);
    const file = run();
    file.opened(recordOf('ses_the-capability', { handles, subject, issuedAtS, expiresAtS }));
    file.ended(sessionRefOf('ses_the-capability'), []);
    const text = textOf();
    expect(text).toContain(sessionRefOf('ses_the-capability'));
    expect(text).not.toContain('ses_the-capability');
    for (const part of token.split('.')) expect(text).not.toContain(part);
    expect(text).not.toContain('prints');
  });
});

describe('the length of the file', () => {
  it('stays bounded while sessions come and go, and those that stay are kept', () => {
    const file = run();
    file.opened(recordOf('stays'));
    for (let i = 0; i < 12_000; i++) {
      const record = recordOf('passes');
      file.opened(record);
      file.ended(record.ref, []);
      if (i % 1000 === 0) expect(linesOf().length).toBeLessThanOrEqual(10_000);
    }
    expect(linesOf().length).toBeLessThan(10_000);
    file.opened(recordOf('late'));
    expect(run().restored).toEqual([recordOf('stays'), recordOf('late')]);
  });
});

describe('the length of the file of sessions that are only refreshed', () => {
  it('does not grow by a credential that is there already', () => {
    const file = run();
    file.opened(recordOf('s1'));
    const before = textOf();
    for (let i = 0; i < 100; i++) file.opened(recordOf('s1'));
    expect(textOf()).toBe(before);
  });

  it('stays bounded while fresher credentials come', () => {
    const file = run();
    for (let i = 0; i < 12_000; i++) file.opened(recordOf('s1', { expiresAtS: 2_000_000_000 + i }));
    expect(linesOf().length).toBeLessThan(10_000);
    expect(run().restored).toEqual([recordOf('s1', { expiresAtS: 2_000_011_999 })]);
  });

  it('are put on disk when that is asked for, in whichever file they are by then', async () => {
    const file = run();
    const stays = recordOf('stays');
    file.opened(stays);
    const synced = file.sync();
    const before = statSync(pathOf()).ino;
    for (let i = 0; i < 6_000; i++) {
      file.opened(recordOf(`goes-${i}`));
      file.ended(sessionRefOf(`goes-${i}`), []);
    }
    expect(statSync(pathOf()).ino).not.toBe(before);
    await synced;
    await file.sync();
    await file.sync();
    expect(run().restored).toEqual([stays]);
  });

  it('are not said to be on disk where they could not be put there', async () => {
    const file = run();
    file.opened(recordOf('stays'));
    renameSync(dataDir, `${dataDir}.away`);
    await expect(file.sync()).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
    renameSync(`${dataDir}.away`, dataDir);
    const before = statSync(pathOf()).ino;
    await expect(file.sync()).resolves.toBeUndefined();
    // Whatever the first try has lost: it is another file, and all is in it.
    expect(statSync(pathOf()).ino).not.toBe(before);
    expect(run().restored).toEqual([recordOf('stays')]);
  });

  it('is tried again later where it cannot be written anew, and nothing is lost', () => {
    const file = run();
    const records = Array.from({ length: 21_000 }, (_, i) =>
      recordOf('s1', { expiresAtS: 2_000_000_000 + i }),
    );
    mkdirSync(`${pathOf()}.tmp`);
    for (const record of records.slice(0, 12_000)) file.opened(record);
    expect(linesOf()).toHaveLength(12_000);
    rmSync(`${pathOf()}.tmp`, { recursive: true });
    for (const record of records.slice(12_000)) file.opened(record);
    expect(linesOf().length).toBeLessThan(10_000);
    expect(run().restored).toEqual(records.slice(-1));
  });
});

describe('a disk that takes no more', () => {
  it('refuses a session, and does not stop one from ending', () => {
    const file = new SessionFile(dataDir, FINGERPRINTER, log, 3_000);
    file.opened(recordOf('s1'));
    file.close();
    expect(() => file.opened(recordOf('s2'))).toThrow(
      expect.objectContaining({ code: 'STORE_UNREACHABLE' }) as Error,
    );
    expect(() => file.ended(sessionRefOf('s1'), [])).not.toThrow();
    expect(run().restored).toEqual([recordOf('s1')]);
  });

  it.skipIf(!hasPrlimit())('in the middle of a line spoils that session alone, not the next', () => {
    const file = run();
    file.opened(recordOf('s1'));
    limitFileBytes(textOf().length + 20);
    try {
      expect(() => file.opened(recordOf('s2'))).toThrow(
        expect.objectContaining({ code: 'STORE_UNREACHABLE' }) as Error,
      );
    } finally {
      limitFileBytes('unlimited');
    }
    expect(linesOf()).toHaveLength(1);
    file.opened(recordOf('s3'));
    expect(run().restored).toEqual([recordOf('s1'), recordOf('s3')]);
    expect(warnings).toHaveLength(1);
  });
});

/** RLIMIT_FSIZE of this process: a write that reaches it is short, as on a full disk, and Node ignores the signal. */
function limitFileBytes(bytes: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:`]);
}

function hasPrlimit(): boolean {
  try {
    execFileSync('prlimit', ['--version']);
    return true;
  } catch {
    return false;
  }
}
