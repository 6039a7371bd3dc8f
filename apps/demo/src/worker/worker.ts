/**
 * The worker's entry. WebKit evaluates a worker's entry a second time when a file that is fetched later imports it, and
 * bundlers let such files import the entry for what they share with it. So nothing lies in here to be shared.
 */
import "./calls.ts";
