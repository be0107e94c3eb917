// Package promise asks other members for their promise not to lead, over the connection that a Redis client would use:
// PROXY PROMISE. What a promise is worth is topology's business; see docs/failover.md.
package promise
