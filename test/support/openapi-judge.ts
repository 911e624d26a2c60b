/**
 * Judges answers by the document that Writ serves: the status is one the route has, the type of the body too, and the
 * body is what its schema says, with no member that the schema does not name. Whoever calls it need not know routes.
 */
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { ValidateFunction } from 'ajv/dist/2020.js';
import type { Operation, Plane } from '../../src/http/operation.ts';
import { OPERATIONS, openApiOf } from '../../src/http/openapi.ts';
import type { Reply } from './client.ts';

type Node = Record<string, unknown>;
interface Response {
  readonly content?: Readonly<Record<string, { readonly schema: Node }>>;
}

export const DOCUMENT = openApiOf({ version: '0.0.0', dev: true });

const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
ajv.addSchema(closed(DOCUMENT) as Node, 'openapi');
const compiled = new Map<string, ValidateFunction>();

/** Answers may get more members some day; until then one that nobody wrote down is a mistake. */
function closed(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(closed);
  if (typeof node !== 'object' || node === null) return node;
  const copy = Object.fromEntries(Object.entries(node).map(([name, member]) => [name, closed(member)]));
  const isOpen = copy['type'] === 'object' && 'properties' in copy && !('additionalProperties' in copy);
  return isOpen ? { ...copy, additionalProperties: false } : copy;
}

/** The operation that `method path` reaches on `plane`, if it is one that is documented. */
export function operationOf(plane: Plane, method: string, path: string): Operation | undefined {
  const [bare = ''] = path.split('?');
  const asked = method === 'HEAD' ? 'GET' : method;
  return OPERATIONS[plane].find(
    (operation) => operation.method === asked && expressionOf(operation.path).test(bare),
  );
}

function expressionOf(path: string): RegExp {
  return new RegExp(
    `^${path
      .replaceAll('.', '\\.')
      .replace(/:[a-z]+/g, '[^/]+')
      .replace('*', '.+')}$`,
  );
}

export function documentPathOf({ path }: Operation): string {
  return path.replace(/:([a-z]+)/g, '{$1}').replace('*', '{path}');
}

/** What is wrong with an answer by the document; undefined when nothing is, or when the route is not in it. */
export function faultOf(plane: Plane, method: string, path: string, reply: Reply): string | undefined {
  const operation = operationOf(plane, method, path);
  if (operation === undefined || (operation.isDevOnly === true && reply.status === 404)) return undefined;
  const name = `${operation.method} ${operation.path}`;
  const pointer = [
    'paths',
    documentPathOf(operation),
    operation.method.toLowerCase(),
    'responses',
    String(reply.status),
  ];
  const response = pointer.reduce<unknown>((node, step) => (node as Node | undefined)?.[step], DOCUMENT) as
    Response | undefined;
  if (response === undefined) return `${name} answered ${reply.status}, which is not documented`;
  const [type = ''] = (reply.headers['content-type'] ?? '').split(';');
  if (method === 'HEAD' || (type === '' && response.content === undefined)) return undefined;
  const media = Object.keys(response.content ?? {}).find((one) => one.split(';')[0] === type);
  if (media === undefined) return `${name} answered ${reply.status} as ${type}, which is not documented`;
  if (!type.endsWith('json')) return undefined;
  const faults = faultsOfBody([...pointer, 'content', media, 'schema'], JSON.parse(reply.text));
  return faults === '' ? undefined : `${name} answered ${reply.status} with a body that ${faults}`;
}

function faultsOfBody(steps: readonly string[], body: unknown): string {
  const fragment = steps.map((step) => encodeURIComponent(step.replaceAll('~', '~0').replaceAll('/', '~1')));
  const reference = `openapi#/${fragment.join('/')}`;
  const validate = compiled.get(reference) ?? ajv.compile({ $ref: reference });
  compiled.set(reference, validate);
  return validate(body) ? '' : ajv.errorsText(validate.errors);
}
