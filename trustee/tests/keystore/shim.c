/* A PKCS#11 module that fails on demand: SoftHSM behind it, faults in between.
 *
 * For tests. SoftHSM never locks a PIN, never hangs and is never pulled out of its slot; real tokens do all of that.
 * SHIM_MODULE names the real module, SHIM_DIR a folder. There, a file named after a call makes it fail:
 *
 *   o RV   once, with return value RV (hexadecimal)
 *   f RV   until C_Finalize
 *   s RV   always
 *   z MS   it takes MS milliseconds (decimal), then works
 *
 * Calls: init opensession login find (an empty answer instead of an error) sign flip (a wrong signature instead of an
 * error) decrypt generatekey tokenflags (RV is or-ed into the flags of the token). Each call of init, finalize,
 * opensession, login and sign is a line in SHIM_DIR/calls.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long ulong;
typedef ulong (*call_t)();
enum { INIT = 0, FINALIZE = 1, TOKENINFO = 6, OPENSESSION = 12, LOGIN = 18, FINDOBJECTS = 27, DECRYPT = 34, SIGN = 43, GENERATEKEY = 58 };
#define CALLS 68

struct list {
    unsigned char version[2];
    call_t call[CALLS];
};

static struct list *real, shim;

static void name_of(char *path, const char *name) { snprintf(path, 512, "%s/%s", getenv("SHIM_DIR"), name); }

static void count(const char *name) {
    char path[512];
    name_of(path, "calls");
    FILE *calls = fopen(path, "a");
    if (calls) {
        fprintf(calls, "%s\n", name);
        fclose(calls);
    }
}

/* 1 and the value if this call is to fail. */
static int fault(const char *name, ulong *rv) {
    char path[512], kind = 0, value[32] = "";
    name_of(path, name);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    int read = fscanf(file, "%c %31s", &kind, value);
    fclose(file);
    if (read != 2) return 0;
    if (kind == 'z') {
        long ms = strtol(value, NULL, 10);
        struct timespec pause = {ms / 1000, (ms % 1000) * 1000000};
        nanosleep(&pause, NULL);
        return 0;
    }
    if (kind == 'o') unlink(path);
    *rv = strtoul(value, NULL, 16);
    return 1;
}

static void heal_on_finalize(void) {
    static const char *names[] = {"opensession", "login", "find", "sign", "decrypt"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512], kind = 0;
        name_of(path, names[i]);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        if (fscanf(file, "%c", &kind) == 1 && kind == 'f') unlink(path);
        fclose(file);
    }
}

static ulong shim_init(void *args) {
    ulong rv;
    count("init");
    return fault("init", &rv) ? rv : real->call[INIT](args);
}

static ulong shim_finalize(void *reserved) {
    count("finalize");
    heal_on_finalize();
    return real->call[FINALIZE](reserved);
}

/* CK_TOKEN_INFO: label 32, manufacturer 32, model 16, serial 16, then the flags. */
static ulong shim_tokeninfo(ulong slot, unsigned char *info) {
    ulong flags, now, rv = real->call[TOKENINFO](slot, info);
    if (rv == 0 && fault("tokenflags", &flags)) {
        memcpy(&now, info + 96, sizeof now);
        now |= flags;
        memcpy(info + 96, &now, sizeof now);
    }
    return rv;
}

static ulong shim_opensession(ulong slot, ulong flags, void *app, void *notify, ulong *session) {
    ulong rv;
    count("opensession");
    return fault("opensession", &rv) ? rv : real->call[OPENSESSION](slot, flags, app, notify, session);
}

static ulong shim_login(ulong session, ulong user, void *pin, ulong length) {
    ulong rv;
    count("login");
    return fault("login", &rv) ? rv : real->call[LOGIN](session, user, pin, length);
}

static ulong shim_find(ulong session, ulong *objects, ulong max, ulong *found) {
    ulong rv;
    if (fault("find", &rv)) {
        *found = 0;
        return rv;
    }
    return real->call[FINDOBJECTS](session, objects, max, found);
}

static ulong shim_decrypt(ulong session, void *in, ulong in_length, void *out, ulong *out_length) {
    ulong rv;
    return fault("decrypt", &rv) ? rv : real->call[DECRYPT](session, in, in_length, out, out_length);
}

static ulong shim_sign(ulong session, void *in, ulong in_length, void *out, ulong *out_length) {
    ulong rv;
    count("sign");
    if (fault("sign", &rv)) return rv;
    rv = real->call[SIGN](session, in, in_length, out, out_length);
    ulong unused;
    if (rv == 0 && out && fault("flip", &unused)) *(unsigned char *)out ^= 1;
    return rv;
}

static ulong shim_generatekey(ulong session, void *mechanism, void *attributes, ulong number, ulong *key) {
    ulong rv;
    return fault("generatekey", &rv) ? rv : real->call[GENERATEKEY](session, mechanism, attributes, number, key);
}

ulong C_GetFunctionList(struct list **list) {
    if (!real) {
        void *module = dlopen(getenv("SHIM_MODULE"), RTLD_NOW);
        call_t get = module ? (call_t)dlsym(module, "C_GetFunctionList") : NULL;
        if (!get || get(&real) != 0) return 5;
        shim = *real;
        shim.call[INIT] = (call_t)shim_init;
        shim.call[FINALIZE] = (call_t)shim_finalize;
        shim.call[TOKENINFO] = (call_t)shim_tokeninfo;
        shim.call[OPENSESSION] = (call_t)shim_opensession;
        shim.call[LOGIN] = (call_t)shim_login;
        shim.call[FINDOBJECTS] = (call_t)shim_find;
        shim.call[DECRYPT] = (call_t)shim_decrypt;
        shim.call[SIGN] = (call_t)shim_sign;
        shim.call[GENERATEKEY] = (call_t)shim_generatekey;
    }
    *list = &shim;
    return 0;
}
