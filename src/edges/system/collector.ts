/** The one thing Writ asks of V8's collector (ARCHITECTURE D-034). */
import { setFlagsFromString } from 'node:v8';

/**
 * Nothing is allocated in the old generation because its likes once lived long. What V8 learns while 32 requests wait
 * for their first answer is wrong ever after: each exchange then dies old, keeps its young parts until a full
 * collection, and a pause of 1.4 ms takes 14. Call it before there is a request; no error.
 */
export function keepRequestsYoung(): void {
  setFlagsFromString('--no-allocation-site-pretenuring');
}
