/*
 * One end of a handshake by MIT krb5, for the tests of what its tokens carry. It
 * reads tokens and writes them, in hexadecimal, a line each ("-" for none), and
 * ends with "complete FLAGS INITIATOR ACCEPTOR" or "error MAJOR MINOR".
 *
 * usage: mitend SERVICE@HOST FLAGS BINDINGS		initiates
 *        mitend - 0 BINDINGS				accepts
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <gssapi/gssapi.h>
#include <gssapi/gssapi_krb5.h>

static void put(gss_buffer_t b) {
	unsigned char *c = b->value;
	if (b->length == 0) printf("-");
	for (size_t n = 0; n < b->length; n++) printf("%02x", c[n]);
	printf("\n");
	fflush(stdout);
}

static gss_buffer_desc get(void) {
	static char line[1 << 17];
	gss_buffer_desc b = { 0, NULL };
	unsigned x;
	if (fgets(line, sizeof line, stdin) == NULL) exit(1);
	b.length = strcspn(line, "\n") / 2;
	unsigned char *p = b.value = malloc(b.length + 1);
	for (size_t i = 0; i < b.length; i++) { sscanf(line + 2 * i, "%2x", &x); p[i] = x; }
	return b;
}

int main(int argc, char **argv) {
	OM_uint32 maj, min, flags = 0, x;
	gss_ctx_id_t c = GSS_C_NO_CONTEXT;
	gss_name_t target = GSS_C_NO_NAME, i, a;
	gss_buffer_desc in = { 0, NULL }, out = { 0, NULL }, names[2];
	struct gss_channel_bindings_struct cb;
	gss_channel_bindings_t bindings = GSS_C_NO_CHANNEL_BINDINGS;
	if (argc != 4) return 2;
	int initiates = strcmp(argv[1], "-") != 0;
	if (strcmp(argv[3], "-") != 0) {
		memset(&cb, 0, sizeof cb);
		cb.application_data.value = argv[3];
		cb.application_data.length = strlen(argv[3]);
		bindings = &cb;
	}
	if (initiates) {
		gss_buffer_desc n = { strlen(argv[1]), argv[1] };
		maj = gss_import_name(&min, &n, GSS_C_NT_HOSTBASED_SERVICE, &target);
		if (maj) return 3;
	} else
		in = get();
	for (;;) {
		if (initiates)
			maj = gss_init_sec_context(&min, GSS_C_NO_CREDENTIAL, &c, target, (gss_OID)gss_mech_krb5,
			    strtoul(argv[2], NULL, 0), 0, bindings, &in, NULL, &out, &flags, NULL);
		else
			maj = gss_accept_sec_context(&min, &c, GSS_C_NO_CREDENTIAL, &in, bindings, NULL, NULL, &out, &flags, NULL, NULL);
		put(&out);
		if (maj != GSS_S_CONTINUE_NEEDED) break;
		in = get();
	}
	if (maj != GSS_S_COMPLETE) {
		printf("error %u %u\n", maj, min);
		return 0;
	}
	if (gss_inquire_context(&x, c, &i, &a, NULL, NULL, NULL, NULL, NULL) || gss_display_name(&x, i, &names[0], NULL) ||
	    gss_display_name(&x, a, &names[1], NULL)) return 4;
	printf("complete %u %.*s %.*s\n", flags, (int)names[0].length, (char *)names[0].value, (int)names[1].length, (char *)names[1].value);
	return 0;
}
