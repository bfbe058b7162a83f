/*
 * One end of a context by a libgssapi, MIT's or (with HEIMDAL defined) Heimdal's, for the
 * tests that speak with it. It reads and writes lines; octets are in hexadecimal, "-" is none.
 *
 * usage: gssend SERVICE@HOST FLAGS BINDINGS	initiates
 *        gssend - 0 BINDINGS			accepts
 *
 * It writes a token for each that it reads, and then "complete FLAGS INITIATOR ACCEPTOR" or
 * "error MAJOR MINOR". With a context it goes on to answer, "ok …" or "error MAJOR MINOR".
 * Buffers are d, data, or s, sign-only; TRAILER is 1 or 0 for seal, "-" for open if there
 * is none:
 *
 *	wrap SEALED MSG		-> ok TOKEN
 *	unwrap TOKEN		-> ok SEALED MSG
 *	mic MSG			-> ok MIC
 *	verify MSG MIC		-> ok
 *	prf PARTIAL INPUT N	-> ok OCTETS
 *	limit SEALED N		-> ok MOST	(gss_wrap_size_limit)
 *	aead SEALED AD MSG	-> ok TOKEN	(gss_wrap_aead)
 *	seal SEALED TRAILER (d|s OCTETS)...	-> ok HEADER TRAILER DATA...	(gss_wrap_iov)
 *	open HEADER TRAILER (d|s OCTETS)...	-> ok SEALED DATA...	(gss_unwrap_iov)
 *	delegated SERVICE@HOST	-> ok NAME TOKEN	a first token with the credential that came
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <gssapi/gssapi.h>
#ifndef HEIMDAL
#include <gssapi/gssapi_ext.h>
#endif

static gss_OID_desc krb5 = { 9, "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02" };
static gss_OID_desc hostbased = { 10, "\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04" };

static void hex(const char *before, gss_buffer_t b, const char *after) {
	unsigned char *c = b->value;
	printf("%s%s", before, b->length == 0 ? "-" : "");
	for (size_t n = 0; n < b->length; n++) {
		putchar("0123456789abcdef"[c[n] >> 4]);
		putchar("0123456789abcdef"[c[n] & 15]);
	}
	printf("%s", after);
}

static int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

static gss_buffer_desc octets(const char *s) {
	gss_buffer_desc b = { 0, NULL };
	if (s == NULL) exit(1);
	if (strcmp(s, "-") != 0) b.length = strlen(s) / 2;
	unsigned char *p = b.value = malloc(b.length + 1);
	for (size_t i = 0; i < b.length; i++) p[i] = digit(s[2 * i]) << 4 | digit(s[2 * i + 1]);
	return b;
}

static char line[1 << 22];

static char *getline1(void) {
	if (fgets(line, sizeof line, stdin) == NULL) exit(0);
	line[strcspn(line, "\n")] = 0;
	return line;
}

static gss_name_t import(char *name) {
	OM_uint32 min;
	gss_name_t n;
	gss_buffer_desc b = { strlen(name), name };
	if (gss_import_name(&min, &b, &hostbased, &n)) exit(3);
	return n;
}

/* pieces reads buffers into v, the first of kind w, and returns their number. */
static int pieces(gss_iov_buffer_desc *v, char *w) {
	int n = 0;
	for (; w != NULL; w = strtok(NULL, " ")) {
		v[n].type = *w == 'd' ? GSS_IOV_BUFFER_TYPE_DATA : GSS_IOV_BUFFER_TYPE_SIGN_ONLY;
		v[n++].buffer = octets(strtok(NULL, " "));
	}
	return n;
}

static void tell_data(gss_iov_buffer_desc *v, int n) {
	for (int i = 0; i < n; i++)
		if (v[i].type == GSS_IOV_BUFFER_TYPE_DATA) hex(" ", &v[i].buffer, "");
	putchar('\n');
}

static OM_uint32 sealiov(OM_uint32 *min, gss_ctx_id_t c, int sealed, int trailer, char *first) {
	gss_iov_buffer_desc v[20];
	gss_buffer_desc none = { 0, NULL };
	memset(v, 0, sizeof v);
	int conf, n = pieces(v + 1, first) + 1;
	v[0].type = GSS_IOV_BUFFER_TYPE_HEADER | GSS_IOV_BUFFER_FLAG_ALLOCATE;
	if (trailer) {
		v[n++].type = GSS_IOV_BUFFER_TYPE_PADDING | GSS_IOV_BUFFER_FLAG_ALLOCATE;
		v[n++].type = GSS_IOV_BUFFER_TYPE_TRAILER | GSS_IOV_BUFFER_FLAG_ALLOCATE;
	}
	OM_uint32 maj = gss_wrap_iov(min, c, sealed, GSS_C_QOP_DEFAULT, &conf, v, n);
	if (maj) return maj;
	hex("ok ", &v[0].buffer, " ");
	hex("", trailer ? &v[n - 1].buffer : &none, "");
	tell_data(v, n);
	return 0;
}

static OM_uint32 openiov(OM_uint32 *min, gss_ctx_id_t c, char *header, char *trailer, char *first) {
	gss_iov_buffer_desc v[20];
	memset(v, 0, sizeof v);
	int conf = 0, n = pieces(v + 1, first) + 1;
	v[0].type = GSS_IOV_BUFFER_TYPE_HEADER;
	v[0].buffer = octets(header);
	if (strcmp(trailer, "-") != 0) {
		v[n].type = GSS_IOV_BUFFER_TYPE_TRAILER;
		v[n++].buffer = octets(trailer);
	}
	OM_uint32 maj = gss_unwrap_iov(min, c, &conf, NULL, v, n);
	if (maj) return maj;
	printf("ok %d", conf);
	tell_data(v, n);
	return 0;
}

int main(int argc, char **argv) {
	OM_uint32 maj, min, flags = 0, x, most;
	gss_ctx_id_t c = GSS_C_NO_CONTEXT;
	gss_cred_id_t cred = GSS_C_NO_CREDENTIAL;
	gss_name_t target = GSS_C_NO_NAME, i, a;
	gss_buffer_desc in = { 0, NULL }, out = { 0, NULL }, names[2], mic;
	struct gss_channel_bindings_struct cb;
	gss_channel_bindings_t bindings = GSS_C_NO_CHANNEL_BINDINGS;
	int conf;
	if (argc != 4) return 2;
	int initiates = strcmp(argv[1], "-") != 0;
	if (strcmp(argv[3], "-") != 0) {
		memset(&cb, 0, sizeof cb);
		cb.application_data.value = argv[3];
		cb.application_data.length = strlen(argv[3]);
		bindings = &cb;
	}
	if (initiates)
		target = import(argv[1]);
	else
		in = octets(getline1());
	for (;;) {
		if (initiates)
			maj = gss_init_sec_context(&min, GSS_C_NO_CREDENTIAL, &c, target, &krb5,
			    strtoul(argv[2], NULL, 0), 0, bindings, &in, NULL, &out, &flags, NULL);
		else
			maj = gss_accept_sec_context(&min, &c, GSS_C_NO_CREDENTIAL, &in, bindings, NULL, NULL, &out, &flags, NULL, &cred);
		hex("", &out, "\n");
		fflush(stdout);
		if (maj != GSS_S_CONTINUE_NEEDED) break;
		in = octets(getline1());
	}
	if (maj != GSS_S_COMPLETE) {
		printf("error %u %u\n", maj, min);
		return 0;
	}
	if (gss_inquire_context(&x, c, &i, &a, NULL, NULL, NULL, NULL, NULL) || gss_display_name(&x, i, &names[0], NULL) ||
	    gss_display_name(&x, a, &names[1], NULL)) return 4;
	printf("complete %u %.*s %.*s\n", flags, (int)names[0].length, (char *)names[0].value, (int)names[1].length, (char *)names[1].value);
	for (;;) {
		fflush(stdout);
		char *verb = strtok(getline1(), " "), *p = strtok(NULL, " "), *q = strtok(NULL, " "), *r = strtok(NULL, " ");
		if (verb == NULL) return 2;
		memset(&out, 0, sizeof out);
		if (strcmp(verb, "wrap") == 0) {
			in = octets(q);
			maj = gss_wrap(&min, c, atoi(p), GSS_C_QOP_DEFAULT, &in, &conf, &out);
			if (maj == 0 && conf != atoi(p)) return 5;
			if (maj == 0) hex("ok ", &out, "\n");
		} else if (strcmp(verb, "unwrap") == 0) {
			in = octets(p);
			maj = gss_unwrap(&min, c, &in, &out, &conf, NULL);
			if (maj == 0) { printf("ok %d ", conf); hex("", &out, "\n"); }
		} else if (strcmp(verb, "mic") == 0) {
			in = octets(p);
			maj = gss_get_mic(&min, c, GSS_C_QOP_DEFAULT, &in, &out);
			if (maj == 0) hex("ok ", &out, "\n");
		} else if (strcmp(verb, "verify") == 0) {
			in = octets(p);
			mic = octets(q);
			maj = gss_verify_mic(&min, c, &in, &mic, NULL);
			if (maj == 0) printf("ok\n");
		} else if (strcmp(verb, "prf") == 0) {
			in = octets(q);
			maj = gss_pseudo_random(&min, c, atoi(p) ? GSS_C_PRF_KEY_PARTIAL : GSS_C_PRF_KEY_FULL, &in, atoi(r), &out);
			if (maj == 0) hex("ok ", &out, "\n");
		} else if (strcmp(verb, "limit") == 0) {
			maj = gss_wrap_size_limit(&min, c, atoi(p), GSS_C_QOP_DEFAULT, atoi(q), &most);
			if (maj == 0) printf("ok %u\n", most);
		} else if (strcmp(verb, "aead") == 0) {
			mic = octets(q);
			in = octets(r);
			maj = gss_wrap_aead(&min, c, atoi(p), GSS_C_QOP_DEFAULT, &mic, &in, &conf, &out);
			if (maj == 0) hex("ok ", &out, "\n");
		} else if (strcmp(verb, "seal") == 0) {
			maj = sealiov(&min, c, atoi(p), atoi(q), r);
		} else if (strcmp(verb, "open") == 0) {
			maj = openiov(&min, c, p, q, r);
		} else if (strcmp(verb, "delegated") == 0) {
			gss_ctx_id_t next = GSS_C_NO_CONTEXT;
			if (cred == GSS_C_NO_CREDENTIAL) { printf("none\n"); continue; }
			maj = gss_inquire_cred(&min, cred, &i, NULL, NULL, NULL);
			if (maj == 0) maj = gss_display_name(&min, i, &names[0], NULL);
			if (maj == 0) maj = gss_init_sec_context(&min, cred, &next, import(p), &krb5, GSS_C_MUTUAL_FLAG, 0, NULL, NULL, NULL, &out, NULL, NULL) & 0xffff0000;
			if (maj == 0) { printf("ok %.*s ", (int)names[0].length, (char *)names[0].value); hex("", &out, "\n"); }
		} else
			return 2;
		if (maj) printf("error %u %u\n", maj, min);
	}
}
