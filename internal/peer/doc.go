// Package peer asks other members what a Redis client could ask them, over connections that are kept for the next time.
package peer
