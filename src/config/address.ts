/**
 * Addresses of listeners: how they are spelled, which of them only this machine can reach, and which two cannot
 * both be opened. Names other than `localhost` are refused, because what they resolve to cannot be judged here.
 */
import { BlockList, isIP, isIPv6 } from 'node:net';
import { isAbsolute } from 'node:path';

export type Address = { readonly host: string; readonly port: number } | { readonly path: string };

/** The longest path a unix socket may have (sun_path, less its terminator). */
const UNIX_PATH_BYTES_MAX = 107;

const HOST_PORT = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/;

/** `127.0.0.1:8181`, `[::1]:8181`, `localhost:8181` or `unix:/path`; undefined when it is none. Port 0: any free one. */
export function parseAddress(text: string): Address | undefined {
  if (text.startsWith('unix:')) return parseUnixPath(text.slice('unix:'.length));
  const match = HOST_PORT.exec(text);
  if (match === null) return undefined;
  const [, bracketed, bare, portText] = match;
  const port = Number(portText);
  if (port > 65_535) return undefined;
  if (bracketed !== undefined) return isIPv6(bracketed) ? { host: bracketed, port } : undefined;
  return bare !== undefined && (bare === 'localhost' || isIP(bare) === 4) ? { host: bare, port } : undefined;
}

function parseUnixPath(path: string): Address | undefined {
  return isAbsolute(path) && Buffer.byteLength(path) <= UNIX_PATH_BYTES_MAX ? { path } : undefined;
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** True when only this machine can reach `host`: 127.0.0.0/8, ::1 (or a mapped one) and `localhost`. */
export function isLoopbackHost(host: string): boolean {
  if (host === 'localhost') return true;
  const family = isIP(host);
  return family !== 0 && LOOPBACK.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

/** True when only this machine can reach the listener; a unix socket counts. */
export function isLocalAddress(address: Address): boolean {
  return 'path' in address || isLoopbackHost(address.host);
}

/** True when both cannot be open at once: one path, or one port on one host or on every host. */
export function isSameListener(left: Address, right: Address): boolean {
  if ('path' in left || 'path' in right) {
    return 'path' in left && 'path' in right && left.path === right.path;
  }
  if (left.port !== right.port || left.port === 0) return false;
  const hosts = [canonicalHost(left.host), canonicalHost(right.host)];
  return hosts[0] === hosts[1] || hosts.includes('0.0.0.0') || hosts.includes('[::]');
}

/** One spelling for one address, so that `::1` and `0:0:0:0:0:0:0:1` are seen to be the same. */
function canonicalHost(host: string): string {
  if (host === 'localhost') return '127.0.0.1';
  return isIPv6(host) && !host.includes('%') ? new URL(`http://[${host}]`).hostname : host;
}
