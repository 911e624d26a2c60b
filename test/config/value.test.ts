import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type * as z from 'zod';
import { isLoopbackHost, parseAddress } from '../../src/config/address.ts';
import { parseDuration } from '../../src/config/duration.ts';
import { addressRange, duration, fetchedUrl, path, publicUrl } from '../../src/config/value.ts';

const accepts = (schema: z.ZodType, text: unknown) => schema.safeParse(text).success;

describe('durations', () => {
  it.each([
    ['0s', 0],
    ['1ms', 1],
    ['500ms', 500],
    ['3s', 3_000],
    ['10m', 600_000],
    ['24h', 86_400_000],
    ['999999999h', 3_599_999_996_400_000],
  ])('%s is %i ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each([
    '',
    '0',
    '3',
    '3 s',
    ' 3s',
    '3s\n',
    '03s',
    '-3s',
    '+3s',
    '1.5s',
    '3S',
    '3d',
    '3sec',
    '1h30m',
    '1e3s',
    '9999999999s',
  ])('%j is none', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });

  it('include both ends of their range', () => {
    const schema = duration('500ms', '60s');
    expect(['499ms', '500ms', '60s', '60001ms', '1m', '2m'].map((text) => accepts(schema, text))).toEqual([
      false,
      true,
      true,
      false,
      true,
      false,
    ]);
    expect(accepts(schema, 3)).toBe(false);
  });
});

describe('addresses', () => {
  it.each([
    ['127.0.0.1:8181', { host: '127.0.0.1', port: 8181 }],
    ['0.0.0.0:0', { host: '0.0.0.0', port: 0 }],
    ['localhost:65535', { host: 'localhost', port: 65_535 }],
    ['[::1]:8181', { host: '::1', port: 8181 }],
    ['[fe80::1%eth0]:1', { host: 'fe80::1%eth0', port: 1 }],
    ['unix:/run/writ.sock', { path: '/run/writ.sock' }],
    [`unix:/${'a'.repeat(106)}`, { path: `/${'a'.repeat(106)}` }],
  ])('%s is one', (text, address) => {
    expect(parseAddress(text)).toEqual(address);
  });

  it.each([
    '',
    '8181',
    ':8181',
    '*:8181',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    '127.0.0.1:-1',
    '127.0.0.1:8181 ',
    '127.1:80',
    '256.0.0.1:80',
    'example.org:80',
    'LOCALHOST:80',
    '::1:8181',
    '[127.0.0.1]:80',
    '[::1]',
    '[::g]:80',
    '[]:80',
    'http://127.0.0.1:80',
    'unix:run/writ.sock',
    'unix:',
    `unix:/${'a'.repeat(107)}`,
    `unix:/${'é'.repeat(54)}`,
  ])('%j is none', (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  it('are on loopback only when this machine alone can reach them', () => {
    const hosts = ['127.0.0.1', '127.255.255.255', '::1', '0:0::1', '::ffff:127.0.0.1', 'localhost'];
    expect(hosts.every(isLoopbackHost)).toBe(true);
    const others = [
      '0.0.0.0',
      '::',
      '128.0.0.1',
      '::2',
      '::ffff:10.0.0.1',
      'fe80::1',
      'localhost.example.org',
      '',
    ];
    expect(others.some(isLoopbackHost)).toBe(false);
  });

  it('never make the parser throw', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'[]:.%0129afunix/'.split('')) }),
        (text) => void parseAddress(text),
      ),
    );
  });
});

describe('URLs', () => {
  const fit = [
    'https://idp.example/jwks',
    'https://idp.example:8443/a?b=c',
    'http://127.0.0.1:1/jwks',
    'http://[::1]:1/',
    'http://localhost/',
    'http://0x7f000001/',
  ];
  const unfit = [
    '',
    'idp.example',
    'http://idp.example/jwks',
    'http://localhost.example/',
    'http://127.0.0.1.example/',
    'http://[::ffff:10.0.0.1]/',
    'ftp://127.0.0.1/',
    'file:///etc/passwd',
    'https://user@idp.example/',
    'https://user:secret@idp.example/',
    'https://:secret@idp.example/',
    'https://idp.example/#',
    'https://idp.example/#a',
    'https://idp.example/ a',
    ' https://idp.example/',
    'https://idp.example/\n',
    'https://',
  ];

  it('that are fetched are https, or http on loopback, and carry no secret', () => {
    expect(fit.filter((text) => !accepts(fetchedUrl, text))).toEqual([]);
    expect(unfit.filter((text) => accepts(fetchedUrl, text))).toEqual([]);
  });

  it('of ourselves have no query and lose the slash at the end', () => {
    expect(publicUrl.parse('https://pdp.example/')).toBe('https://pdp.example');
    expect(publicUrl.parse('http://127.0.0.1:8181')).toBe('http://127.0.0.1:8181');
    expect(['https://a/?b', 'https://a/?', ...unfit].filter((text) => accepts(publicUrl, text))).toEqual([]);
  });
});

describe('address ranges', () => {
  it.each([
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['192.0.2.1', '192.0.2.1/32'],
    ['::1', '::1/128'],
    ['2001:db8::/128', '2001:db8::/128'],
  ])('%s is %s', (text, range) => {
    expect(addressRange.parse(text)).toBe(range);
  });

  it.each([
    '',
    '/8',
    '10.0.0.0/',
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/08',
    '10.0.0.0/8/8',
    '10/8',
    'a/8',
    'fe80::1%a/64',
    '10.0.0.0/-1',
    '::/999',
  ])('%j is none', (text) => {
    expect(accepts(addressRange, text)).toBe(false);
  });
});

describe('paths', () => {
  it('are any text that a file system could take', () => {
    expect(['a', '/a b', './ü'].every((text) => accepts(path, text))).toBe(true);
    expect(['', 'a\0b', 'a'.repeat(4_097), 5].some((text) => accepts(path, text))).toBe(false);
  });
});
