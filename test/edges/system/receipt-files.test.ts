import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ReceiptFiles } from '../../../src/edges/system/receipt-files.ts';

let dataDir: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'writ-receipts-'));
});

afterEach(async () => {
  await rm(dataDir, { recursive: true });
});

describe('receipts', () => {
  it('are read as they were written, also by a later run', async () => {
    const text = 'receipt of rev_1\n\n\u2014 writ \u00e9\n';
    await new ReceiptFiles(dataDir).write('rev_1', text);
    expect(await new ReceiptFiles(dataDir).read('rev_1')).toBe(text);
  });

  it('are one file each, for their owner only, with nothing half-written beside them', async () => {
    const receipts = new ReceiptFiles(dataDir);
    await Promise.all(['rev_1', 'rev_2'].map((id) => receipts.write(id, id)));
    expect((await readdir(join(dataDir, 'receipts'))).sort()).toEqual(['rev_1.txt', 'rev_2.txt']);
    expect((await stat(join(dataDir, 'receipts'))).mode & 0o777).toBe(0o700);
    expect((await stat(join(dataDir, 'receipts', 'rev_1.txt'))).mode & 0o777).toBe(0o600);
  });

  it('are replaced whole: a late proof turns partial into enforced', async () => {
    const receipts = new ReceiptFiles(dataDir);
    await receipts.write('rev_1', 'state partial, and a long rest');
    await receipts.write('rev_1', 'enforced');
    expect(await receipts.read('rev_1')).toBe('enforced');
  });

  it('are absent where none was written', async () => {
    expect(await new ReceiptFiles(dataDir).read('rev_1')).toBeUndefined();
  });

  it.each([
    '../secret',
    'rev_../../secret',
    'rev_',
    'rev_a/b',
    'rev_a\n',
    'fleet',
    `rev_${'a'.repeat(65)}`,
    '',
  ])('are no way to read another file: %j', async (id) => {
    await writeFile(join(dataDir, 'secret.txt'), 'secret');
    const receipts = new ReceiptFiles(dataDir);
    await receipts.write('rev_1', 'x');
    expect(await receipts.read(id)).toBeUndefined();
  });

  it('are not claimed to be written where they cannot be, and are written once they can', async () => {
    const path = join(dataDir, 'receipts');
    await writeFile(path, 'in the way');
    const receipts = new ReceiptFiles(dataDir);
    await expect(receipts.write('rev_1', 'x')).rejects.toMatchObject({ code: 'INTERNAL' });
    await rm(path);
    await receipts.write('rev_1', 'x');
    expect(await receipts.read('rev_1')).toBe('x');
  });

  it('are not said to be absent where one is there and cannot be read', async () => {
    await mkdir(join(dataDir, 'receipts', 'rev_1.txt'), { recursive: true });
    const reading = new ReceiptFiles(dataDir).read('rev_1');
    await expect(reading).rejects.toMatchObject({
      code: 'INTERNAL',
      message: 'a receipt cannot be read (EISDIR)',
    });
  });
});
