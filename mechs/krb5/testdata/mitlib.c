/*
 * What MIT's library makes of a configuration and of names, for the tests. It reads
 * commands and answers each with a line, "ok ..." or "error NUMBER".
 *
 *   get NAME...                 every value of a setting, each with a space before it
 *   enctypes                    permitted_enctypes, by number
 *   parse NAME                  a principal; enterprise NAME: as an alias
 *   service SERVICE HOST        the principal of a service on a host
 *   local PRINCIPAL             the local user's name
 *   may PRINCIPAL USER          whether it may log in as that user
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <krb5.h>
#include <profile.h>

static krb5_context ctx;

static int get(char **names) {
	profile_t p;
	char **values = NULL;
	long ret = krb5_get_profile(ctx, &p);
	if (ret) return ret;
	ret = profile_get_values(p, (const char **)names, &values);
	if (ret) return ret;
	printf("ok");
	for (int i = 0; values[i]; i++) printf(" %s", values[i]);
	printf("\n");
	profile_free_list(values);
	profile_release(p);
	return 0;
}

static int run(char *line) {
	char *arg[16] = {0}, *s;
	int n = 0, ret;
	char *rest = strchr(line, ' ');
	if (rest) *rest++ = 0;
	if (!strcmp(line, "enctypes")) {
		krb5_enctype *list;
		if ((ret = krb5_get_permitted_enctypes(ctx, &list))) return ret;
		printf("ok");
		for (int i = 0; list[i]; i++) printf(" %d", (int)list[i]);
		printf("\n");
		return 0;
	}
	if (!rest) return 1;
	if (!strcmp(line, "parse") || !strcmp(line, "enterprise")) {
		krb5_principal p;
		if ((ret = krb5_parse_name_flags(ctx, rest, *line == 'e' ? KRB5_PRINCIPAL_PARSE_ENTERPRISE : 0, &p))) return ret;
		if ((ret = krb5_unparse_name(ctx, p, &s))) return ret;
		printf("ok %d %s\n", (int)krb5_princ_type(ctx, p), s);
		return 0;
	}
	for (s = strtok(rest, " "); s && n < 15; s = strtok(NULL, " ")) arg[n++] = s;
	if (!strcmp(line, "get")) return get(arg);
	krb5_principal p;
	if (!strcmp(line, "service")) {
		if ((ret = krb5_sname_to_principal(ctx, arg[1], arg[0], KRB5_NT_SRV_HST, &p))) return ret;
		if ((ret = krb5_unparse_name(ctx, p, &s))) return ret;
		printf("ok %s\n", s);
		return 0;
	}
	if ((ret = krb5_parse_name(ctx, arg[0], &p))) return ret;
	if (!strcmp(line, "local")) {
		char name[256];
		if ((ret = krb5_aname_to_localname(ctx, p, sizeof name, name))) return ret;
		printf("ok %s\n", name);
		return 0;
	}
	if (!strcmp(line, "may")) {
		printf("ok %d\n", (int)krb5_kuserok(ctx, p, arg[1]));
		return 0;
	}
	return 1;
}

int main(void) {
	char line[65536];
	int ret = krb5_init_context(&ctx);
	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = 0;
		int e = ret ? ret : run(line);
		if (e) printf("error %d\n", e);
		fflush(stdout);
	}
	return 0;
}
