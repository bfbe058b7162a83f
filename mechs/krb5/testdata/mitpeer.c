/*
 * Both ends of an MIT krb5 context, driven line by line, for the tests of
 * per-message tokens. It prints the keys and sequence numbers of each end; then
 * it reads commands (s is i or a, the end that acts; octets are hexadecimal, "-"
 * for none) and answers each with "ok ..." or "error MAJOR".
 *
 *   s wrap CONF MSG | s iov CONF MSG | s unwrap TOKEN | s mic MSG | s verify MSG TOKEN | s prf KEY IN N
 *   s aead CONF AD MSG | s unaead AD TOKEN | s limit CONF N | s key
 *   s seal CONF TRAILER (d|s OCTETS)...            answers header, trailer and the data
 *   s open HEADER TRAILER (d|s OCTETS)...          answers CONF and the data
 *
 * TRAILER is 1 or 0 for seal, "-" for open if there is none; d is data, s sign-only.
 *
 * usage: mitpeer SERVICE@HOST FLAGS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>

static void die(const char *what, OM_uint32 maj, OM_uint32 min) {
	gss_buffer_desc m;
	OM_uint32 mc = 0, x;
	gss_display_status(&x, min, GSS_C_MECH_CODE, (gss_OID)gss_mech_krb5, &mc, &m);
	fprintf(stderr, "%s: %x %.*s\n", what, maj, (int)m.length, (char *)m.value);
	exit(1);
}

static void put(const void *p, size_t n) {
	const unsigned char *c = p;
	putchar(' ');
	if (n == 0) putchar('-');
	for (; n--; c++) {
		putchar("0123456789abcdef"[*c >> 4]);
		putchar("0123456789abcdef"[*c & 15]);
	}
}

static int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

static gss_buffer_desc get(void) {
	gss_buffer_desc b = { 0, "" };
	char *w = strtok(NULL, " \n");
	if (w == NULL || *w == '-') return b;
	b.length = strlen(w) / 2;
	unsigned char *p = b.value = malloc(b.length + 1);
	for (size_t i = 0; i < b.length; i++) p[i] = digit(w[2 * i]) << 4 | digit(w[2 * i + 1]);
	return b;
}

static void key(const gss_krb5_lucid_key_t *k) {
	printf(" %u", k->type);
	put(k->data, k->length);
}

/* Prints c's secrets and replaces it by a copy, since telling them uses c up. */
static void tell(gss_ctx_id_t *c) {
	OM_uint32 maj, min;
	gss_buffer_desc t;
	gss_ctx_id_t spent = GSS_C_NO_CONTEXT;
	gss_krb5_lucid_context_v1_t *l;
	maj = gss_export_sec_context(&min, c, &t);
	if (maj) die("export", maj, min);
	maj = gss_import_sec_context(&min, &t, c);
	if (maj) die("import", maj, min);
	maj = gss_import_sec_context(&min, &t, &spent);
	if (maj) die("import", maj, min);
	maj = gss_krb5_export_lucid_sec_context(&min, &spent, 1, (void **)&l);
	if (maj) die("lucid", maj, min);
	if (l->protocol == 0) { /* RFC 1964: one key */
		printf("context %u %llu %llu 0", l->initiate, (unsigned long long)l->send_seq, (unsigned long long)l->recv_seq);
		key(&l->rfc1964_kd.ctx_key);
		putchar('\n');
		return;
	}
	printf("context %u %llu %llu %u", l->initiate, (unsigned long long)l->send_seq,
	       (unsigned long long)l->recv_seq, l->cfx_kd.have_acceptor_subkey);
	key(&l->cfx_kd.ctx_key);
	if (l->cfx_kd.have_acceptor_subkey) key(&l->cfx_kd.acceptor_subkey);
	putchar('\n');
}

static void iov(gss_ctx_id_t c, int conf) {
	OM_uint32 maj, min;
	gss_buffer_desc m = get();
	gss_iov_buffer_desc v[2];
	v[0].type = GSS_IOV_BUFFER_TYPE_HEADER | GSS_IOV_BUFFER_FLAG_ALLOCATE;
	v[1].type = GSS_IOV_BUFFER_TYPE_DATA;
	v[1].buffer = m;
	maj = gss_wrap_iov(&min, c, conf, GSS_C_QOP_DEFAULT, NULL, v, 2);
	if (maj) { printf("error %x\n", maj); return; }
	gss_buffer_desc all;
	all.length = v[0].buffer.length + m.length;
	all.value = malloc(all.length);
	memcpy(all.value, v[0].buffer.value, v[0].buffer.length);
	memcpy((char *)all.value + v[0].buffer.length, m.value, m.length);
	printf("ok");
	put(all.value, all.length);
	putchar('\n');
}

/* pieces reads data and sign-only buffers into v, and returns their number. */
static int pieces(gss_iov_buffer_desc *v) {
	int n = 0;
	char *w;
	while ((w = strtok(NULL, " \n")) != NULL) {
		v[n].type = *w == 'd' ? GSS_IOV_BUFFER_TYPE_DATA : GSS_IOV_BUFFER_TYPE_SIGN_ONLY;
		v[n++].buffer = get();
	}
	return n;
}

static void tell_pieces(gss_iov_buffer_desc *v, int n) {
	for (int i = 0; i < n; i++)
		if (v[i].type == GSS_IOV_BUFFER_TYPE_DATA) put(v[i].buffer.value, v[i].buffer.length);
	putchar('\n');
}

static void sealiov(gss_ctx_id_t c) {
	OM_uint32 maj, min;
	gss_iov_buffer_desc v[20];
	int conf = atoi(strtok(NULL, " \n")), trailer = atoi(strtok(NULL, " \n"));
	int n = pieces(v + 1) + 1;
	memset(v, 0, sizeof v[0]);
	v[0].type = GSS_IOV_BUFFER_TYPE_HEADER | GSS_IOV_BUFFER_FLAG_ALLOCATE;
	if (trailer) {
		memset(v + n, 0, 2 * sizeof v[0]);
		v[n++].type = GSS_IOV_BUFFER_TYPE_PADDING | GSS_IOV_BUFFER_FLAG_ALLOCATE;
		v[n++].type = GSS_IOV_BUFFER_TYPE_TRAILER | GSS_IOV_BUFFER_FLAG_ALLOCATE;
	}
	maj = gss_wrap_iov(&min, c, conf, GSS_C_QOP_DEFAULT, NULL, v, n);
	if (maj) { printf("error %x\n", maj); return; }
	printf("ok");
	put(v[0].buffer.value, v[0].buffer.length);
	if (trailer) put(v[n - 1].buffer.value, v[n - 1].buffer.length);
	else put("", 0);
	tell_pieces(v, n);
}

static void openiov(gss_ctx_id_t c) {
	OM_uint32 maj, min;
	gss_iov_buffer_desc v[20];
	gss_buffer_desc trailer;
	int conf = 0;
	v[0].type = GSS_IOV_BUFFER_TYPE_HEADER;
	v[0].buffer = get();
	trailer = get();
	int n = pieces(v + 1) + 1;
	if (trailer.length) {
		v[n].type = GSS_IOV_BUFFER_TYPE_TRAILER;
		v[n++].buffer = trailer;
	}
	maj = gss_unwrap_iov(&min, c, &conf, NULL, v, n);
	if (maj) { printf("error %x\n", maj); return; }
	printf("ok %d", conf);
	tell_pieces(v, n);
}

static void sessionkey(gss_ctx_id_t c) {
	OM_uint32 maj, min;
	gss_buffer_set_t set;
	maj = gss_inquire_sec_context_by_oid(&min, c, GSS_C_INQ_SSPI_SESSION_KEY, &set);
	if (maj) { printf("error %x\n", maj); return; }
	printf("ok");
	put(set->elements[0].value, set->elements[0].length);
	putchar('\n');
}

int main(int argc, char **argv) {
	OM_uint32 maj, min, imaj = GSS_S_CONTINUE_NEEDED, amaj = GSS_S_CONTINUE_NEEDED;
	gss_ctx_id_t i = GSS_C_NO_CONTEXT, a = GSS_C_NO_CONTEXT;
	gss_name_t name;
	gss_buffer_desc n = { strlen(argv[1]), argv[1] }, to = GSS_C_EMPTY_BUFFER, fro = GSS_C_EMPTY_BUFFER;
	maj = gss_import_name(&min, &n, GSS_C_NT_HOSTBASED_SERVICE, &name);
	if (maj) die("name", maj, min);
	while (imaj || amaj) {
		imaj = gss_init_sec_context(&min, GSS_C_NO_CREDENTIAL, &i, name, (gss_OID)gss_mech_krb5, strtoul(argv[2], NULL, 0),
					    0, NULL, &fro, NULL, &to, NULL, NULL);
		if (GSS_ERROR(imaj)) die("init", imaj, min);
		if (amaj == 0) break;
		amaj = gss_accept_sec_context(&min, &a, GSS_C_NO_CREDENTIAL, &to, NULL, NULL, NULL, &fro, NULL, NULL, NULL);
		if (GSS_ERROR(amaj)) die("accept", amaj, min);
	}
	tell(&i);
	tell(&a);
	fflush(stdout);

	static char line[1 << 20];
	while (fgets(line, sizeof line, stdin)) {
		gss_ctx_id_t c = *strtok(line, " \n") == 'i' ? i : a;
		char *op = strtok(NULL, " \n");
		gss_buffer_desc out = GSS_C_EMPTY_BUFFER, x, y;
		int conf = -1;
		if (!strcmp(op, "wrap")) {
			int want = atoi(strtok(NULL, " \n"));
			x = get();
			maj = gss_wrap(&min, c, want, GSS_C_QOP_DEFAULT, &x, NULL, &out);
		} else if (!strcmp(op, "iov")) {
			iov(c, atoi(strtok(NULL, " \n")));
			fflush(stdout);
			continue;
		} else if (!strcmp(op, "seal") || !strcmp(op, "open") || !strcmp(op, "key")) {
			if (*op == 's') sealiov(c);
			else if (*op == 'o') openiov(c);
			else sessionkey(c);
			fflush(stdout);
			continue;
		} else if (!strcmp(op, "limit")) {
			int want = atoi(strtok(NULL, " \n"));
			OM_uint32 size;
			maj = gss_wrap_size_limit(&min, c, want, GSS_C_QOP_DEFAULT, atoi(strtok(NULL, " \n")), &size);
			printf(maj ? "error %x\n" : "ok %u\n", maj ? maj : size);
			fflush(stdout);
			continue;
		} else if (!strcmp(op, "aead")) {
			int want = atoi(strtok(NULL, " \n"));
			x = get();
			y = get();
			maj = gss_wrap_aead(&min, c, want, GSS_C_QOP_DEFAULT, x.length ? &x : NULL, &y, NULL, &out);
		} else if (!strcmp(op, "unaead")) {
			x = get();
			y = get();
			maj = gss_unwrap_aead(&min, c, &y, x.length ? &x : NULL, &out, &conf, NULL);
		} else if (!strcmp(op, "unwrap")) {
			x = get();
			maj = gss_unwrap(&min, c, &x, &out, &conf, NULL);
		} else if (!strcmp(op, "mic")) {
			x = get();
			maj = gss_get_mic(&min, c, GSS_C_QOP_DEFAULT, &x, &out);
		} else if (!strcmp(op, "verify")) {
			x = get();
			y = get();
			maj = gss_verify_mic(&min, c, &x, &y, NULL);
		} else {
			int which = atoi(strtok(NULL, " \n"));
			x = get();
			maj = gss_pseudo_random(&min, c, which, &x, atoi(strtok(NULL, " \n")), &out);
		}
		if (maj) {
			printf("error %x\n", maj);
		} else {
			printf("ok");
			if (conf >= 0) printf(" %d", conf);
			put(out.value, out.length);
			putchar('\n');
		}
		fflush(stdout);
	}
	return 0;
}
