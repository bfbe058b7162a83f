//go:build ignore

/*
 * Both ends of contexts of the GSS-API library that this host has (MIT krb5), in one
 * thread, for "gss bench". See bench_mit.go, which compiles it and speaks to it.
 *
 * usage: bench_mit SERVICE@HOST
 *
 * KRB5_CONFIG, KRB5CCNAME (a FILE ccache that has a ticket for the service) and
 * KRB5_KTNAME say with what, KRB5RCACHEDIR where the replay cache of files goes.
 *
 * It first establishes a context (mutual, replay, sequence, conf, integ) and prints
 * "ready". Then it reads commands and answers each with one line, "ok NANOSECONDS",
 * all N times together, or "error WHAT":
 *
 *   establish file N      handshakes, both sides; ccache, keytab and replay cache are files
 *   establish memory N    handshakes; ccache and keytab are in memory, without a replay cache
 *   wrap SIZE N           gss_wrap, sealed, and gss_unwrap
 *   mic SIZE N            gss_get_mic and gss_verify_mic
 *   prf SIZE N            gss_pseudo_random of SIZE octets into 32
 *
 * Credentials of both sides are acquired once, in advance.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <krb5.h>
#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>

typedef struct {
	gss_cred_id_t initiator, acceptor;
} creds;

static creds file, memory;
static gss_name_t target;
static gss_ctx_id_t ic, ac;

static int failed(const char *what, OM_uint32 maj, OM_uint32 min) {
	OM_uint32 more = 0, x;
	gss_buffer_desc m;
	if (!GSS_ERROR(maj)) return 0;
	gss_display_status(&x, min, GSS_C_MECH_CODE, (gss_OID)gss_mech_krb5, &more, &m);
	printf("error %s: %x %.*s\n", what, maj, (int)m.length, (char *)m.value);
	gss_release_buffer(&x, &m);
	return 1;
}

/* acquire gets a credential with what e says. */
static void acquire(gss_cred_usage_t usage, gss_key_value_element_desc *e, unsigned n, gss_cred_id_t *out) {
	OM_uint32 maj, min;
	gss_OID_set_desc mechs = { 1, (gss_OID)gss_mech_krb5 };
	gss_key_value_set_desc store = { n, e };
	maj = gss_acquire_cred_from(&min, GSS_C_NO_NAME, GSS_C_INDEFINITE, &mechs, usage, &store, out, NULL, NULL);
	if (failed("acquire", maj, min)) exit(1);
}

static void check(const char *what, krb5_error_code err) {
	if (err == 0) return;
	printf("error %s: %s\n", what, error_message(err));
	exit(1);
}

/* remember copies the ccache and the keytab of the environment into memory. */
static void remember(const char *ccache, const char *keytab) {
	krb5_context k;
	krb5_ccache from, to;
	krb5_principal p;
	krb5_keytab kfrom, kto;
	krb5_kt_cursor cur;
	krb5_keytab_entry e;
	krb5_error_code err;
	check("context", krb5_init_context(&k));
	check("ccache", krb5_cc_default(k, &from));
	check("ccache", krb5_cc_get_principal(k, from, &p));
	check("ccache", krb5_cc_resolve(k, ccache, &to));
	check("ccache", krb5_cc_initialize(k, to, p));
	check("ccache", krb5_cc_copy_creds(k, from, to));
	check("keytab", krb5_kt_default(k, &kfrom));
	check("keytab", krb5_kt_resolve(k, keytab, &kto));
	check("keytab", krb5_kt_start_seq_get(k, kfrom, &cur));
	while ((err = krb5_kt_next_entry(k, kfrom, &e, &cur)) == 0) {
		check("keytab", krb5_kt_add_entry(k, kto, &e));
		krb5_free_keytab_entry_contents(k, &e);
	}
	krb5_kt_end_seq_get(k, kfrom, &cur);
	/* to and kto stay open: they live as long as somebody has them open. */
}

/* establish makes both ends of a context, and reports whether it could. */
static int establish(creds *c, gss_ctx_id_t *i, gss_ctx_id_t *a) {
	const OM_uint32 flags = GSS_C_MUTUAL_FLAG | GSS_C_REPLAY_FLAG | GSS_C_SEQUENCE_FLAG | GSS_C_CONF_FLAG | GSS_C_INTEG_FLAG;
	OM_uint32 imaj, amaj, min, x;
	gss_buffer_desc there = GSS_C_EMPTY_BUFFER, back = GSS_C_EMPTY_BUFFER;
	*i = *a = GSS_C_NO_CONTEXT;
	imaj = gss_init_sec_context(&min, c->initiator, i, target, (gss_OID)gss_mech_krb5, flags, 0, NULL, NULL, NULL, &there, NULL, NULL);
	if (failed("init", imaj, min)) return 0;
	amaj = gss_accept_sec_context(&min, a, c->acceptor, &there, NULL, NULL, NULL, &back, NULL, NULL, NULL);
	gss_release_buffer(&x, &there);
	if (failed("accept", amaj, min)) return 0;
	imaj = gss_init_sec_context(&min, c->initiator, i, target, (gss_OID)gss_mech_krb5, flags, 0, NULL, &back, NULL, &there, NULL, NULL);
	gss_release_buffer(&x, &back);
	if (failed("init again", imaj, min)) return 0;
	gss_release_buffer(&x, &there);
	if (imaj || amaj) {
		printf("error not complete after two tokens\n");
		return 0;
	}
	return 1;
}

static int handshake(creds *c) {
	gss_ctx_id_t i, a;
	OM_uint32 x;
	int ok = establish(c, &i, &a);
	gss_delete_sec_context(&x, &i, NULL);
	gss_delete_sec_context(&x, &a, NULL);
	return ok;
}

static int wrap(gss_buffer_t msg) {
	OM_uint32 maj, min;
	gss_buffer_desc tok, out;
	int conf;
	maj = gss_wrap(&min, ic, 1, GSS_C_QOP_DEFAULT, msg, &conf, &tok);
	if (failed("wrap", maj, min)) return 0;
	maj = gss_unwrap(&min, ac, &tok, &out, &conf, NULL);
	if (failed("unwrap", maj, min)) return 0;
	gss_release_buffer(&min, &tok);
	gss_release_buffer(&min, &out);
	return 1;
}

static int mic(gss_buffer_t msg) {
	OM_uint32 maj, min;
	gss_buffer_desc tok;
	maj = gss_get_mic(&min, ic, GSS_C_QOP_DEFAULT, msg, &tok);
	if (failed("mic", maj, min)) return 0;
	maj = gss_verify_mic(&min, ac, msg, &tok, NULL);
	if (failed("verify", maj, min)) return 0;
	gss_release_buffer(&min, &tok);
	return 1;
}

static int prf(gss_buffer_t in) {
	OM_uint32 maj, min;
	gss_buffer_desc out;
	maj = gss_pseudo_random(&min, ic, GSS_C_PRF_KEY_FULL, in, 32, &out);
	if (failed("prf", maj, min)) return 0;
	gss_release_buffer(&min, &out);
	return 1;
}

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
	OM_uint32 maj, min;
	gss_buffer_desc n;
	gss_key_value_element_desc mi[] = { { "ccache", "MEMORY:bench" } };
	gss_key_value_element_desc ma[] = { { "keytab", "MEMORY:bench" }, { "rcache", "none:" } };
	char line[256], what[16], with[16];
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 2) return 2;
	n.value = argv[1];
	n.length = strlen(argv[1]);
	maj = gss_import_name(&min, &n, GSS_C_NT_HOSTBASED_SERVICE, &target);
	if (failed("name", maj, min)) return 1;
	acquire(GSS_C_INITIATE, NULL, 0, &file.initiator);
	acquire(GSS_C_ACCEPT, NULL, 0, &file.acceptor);
	remember("MEMORY:bench", "MEMORY:bench");
	acquire(GSS_C_INITIATE, mi, 1, &memory.initiator);
	acquire(GSS_C_ACCEPT, ma, 2, &memory.acceptor);
	if (!establish(&memory, &ic, &ac)) return 1;
	printf("ready\n");

	while (fgets(line, sizeof line, stdin)) {
		long times, size;
		long long start;
		gss_buffer_desc msg;
		creds *c;
		int ok = 1;
		if (sscanf(line, "%15s %15s %ld", what, with, &times) != 3) {
			printf("error malformed command\n");
			continue;
		}
		c = strcmp(with, "memory") ? &file : &memory;
		size = atol(with);
		msg.length = size;
		msg.value = calloc(1, size + 1);
		start = now();
		for (; ok && times > 0; times--) {
			if (!strcmp(what, "establish")) ok = handshake(c);
			else if (!strcmp(what, "wrap")) ok = wrap(&msg);
			else if (!strcmp(what, "mic")) ok = mic(&msg);
			else if (!strcmp(what, "prf")) ok = prf(&msg);
			else ok = 0, printf("error unknown command\n");
		}
		if (ok) printf("ok %lld\n", now() - start);
		free(msg.value);
	}
	return 0;
}
