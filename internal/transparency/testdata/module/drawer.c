/* A module with commands that no table of the proxy has: DRAWER.LOOK key, which reads, and DRAWER.PUT value key, which
 * writes and has its key at an unusual place, and DRAWER.WAIT, which blocks for ever. It declares the few functions of the server that it uses by itself, so that
 * nothing but a compiler is needed. */
#include <stddef.h>

typedef struct RedisModuleCtx RedisModuleCtx;
typedef struct RedisModuleString RedisModuleString;
typedef struct RedisModuleCallReply RedisModuleCallReply;
typedef int (*command)(RedisModuleCtx *, RedisModuleString **, int);

enum { OK = 0, ERR = 1 };

static int (*SetModuleAttribs)(RedisModuleCtx *, const char *name, int version, int api);
static int (*CreateCommand)(RedisModuleCtx *, const char *name, command, const char *flags, int first, int last, int step);
static RedisModuleCallReply *(*Call)(RedisModuleCtx *, const char *name, const char *format, ...);
static int (*ReplyWithCallReply)(RedisModuleCtx *, RedisModuleCallReply *);
static void (*FreeCallReply)(RedisModuleCallReply *);
static void *(*BlockClient)(RedisModuleCtx *, command reply, command timeout, void (*freed)(RedisModuleCtx *, void *), long long ms);
static int (*WrongArity)(RedisModuleCtx *);

static int pass(RedisModuleCtx *ctx, RedisModuleCallReply *reply) {
	if (reply == NULL) return ERR;
	ReplyWithCallReply(ctx, reply);
	FreeCallReply(reply);
	return OK;
}

static int look(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
	if (argc != 2) return WrongArity(ctx);
	return pass(ctx, Call(ctx, "GET", "s", argv[1]));
}

static int put(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
	if (argc != 3) return WrongArity(ctx);
	return pass(ctx, Call(ctx, "SET", "!ss", argv[2], argv[1]));
}

static int wait(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
	(void)argv, (void)argc;
	return BlockClient(ctx, NULL, NULL, NULL, 0) == NULL ? ERR : OK;
}

int RedisModule_OnLoad(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
	int (*get)(const char *, void *) = (int (*)(const char *, void *))((void **)ctx)[0];
	(void)argv, (void)argc;
	if (get("RedisModule_SetModuleAttribs", &SetModuleAttribs) != OK || get("RedisModule_CreateCommand", &CreateCommand) != OK ||
	    get("RedisModule_Call", &Call) != OK || get("RedisModule_ReplyWithCallReply", &ReplyWithCallReply) != OK ||
	    get("RedisModule_FreeCallReply", &FreeCallReply) != OK || get("RedisModule_WrongArity", &WrongArity) != OK ||
	    get("RedisModule_BlockClient", &BlockClient) != OK)
		return ERR;
	SetModuleAttribs(ctx, "drawer", 1, 1);
	if (CreateCommand(ctx, "drawer.look", look, "readonly", 1, 1, 1) != OK) return ERR;
	if (CreateCommand(ctx, "drawer.wait", wait, "readonly deny-script", 0, 0, 0) != OK) return ERR;
	return CreateCommand(ctx, "drawer.put", put, "write", 2, 2, 1);
}
