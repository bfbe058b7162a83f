/* An ONC RPC client and server by libtirpc, with RPCSEC_GSS over Kerberos.
 *
 *   tirpc server                                 serves on a loopback port, which it prints
 *   tirpc client tcp|udp PORT SERVICE N          calls echo N times with that service (1, 2, 3)
 */
#include <arpa/inet.h>
#include <rpc/rpc.h>
#include <rpc/rpcsec_gss.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROG 0x20001234
#define VERS 3

typedef struct {
	char *p;
	u_int n;
} octets;

static bool_t xdr_octets(XDR *x, octets *o) { return xdr_bytes(x, &o->p, &o->n, 1 << 20); }

/* 1: echo. 4: the service of the call, as the server sees it. */
static void dispatch(struct svc_req *r, SVCXPRT *x) {
	octets o = {0};
	rpc_gss_rawcred_t *raw;
	void *cookie;
	switch (r->rq_proc) {
	case 0:
		svc_sendreply(x, (xdrproc_t)xdr_void, NULL);
		return;
	case 1:
		if (!svc_getargs(x, (xdrproc_t)xdr_octets, (caddr_t)&o)) {
			svcerr_decode(x);
			return;
		}
		svc_sendreply(x, (xdrproc_t)xdr_octets, (caddr_t)&o);
		svc_freeargs(x, (xdrproc_t)xdr_octets, (caddr_t)&o);
		return;
	case 4:
		if (!rpc_gss_getcred(r, &raw, NULL, &cookie)) {
			svcerr_systemerr(x);
			return;
		}
		u_int service = raw->service;
		svc_sendreply(x, (xdrproc_t)xdr_u_int, (caddr_t)&service);
		return;
	}
	svcerr_noproc(x);
}

static struct sockaddr_in loopback(int port) {
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static int server(void) {
	struct sockaddr_in a = loopback(0);
	socklen_t n = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) || listen(fd, 16) || getsockname(fd, (struct sockaddr *)&a, &n))
		return 1;
	SVCXPRT *x = svc_vc_create(fd, 0, 0);
	if (!x || !svc_reg(x, PROG, VERS, dispatch, NULL) || !rpc_gss_set_svc_name("host@localhost", "kerberos_v5", 0, PROG, VERS))
		return 1;
	printf("%d\n", ntohs(a.sin_port));
	fflush(stdout);
	svc_run();
	return 1;
}

static int client(const char *net, int port, int service, int calls) {
	struct sockaddr_in a = loopback(port);
	struct timeval wait = {5, 0};
	int sock = RPC_ANYSOCK;
	CLIENT *c = strcmp(net, "udp") ? clnttcp_create(&a, PROG, VERS, &sock, 0, 0) : clntudp_create(&a, PROG, VERS, wait, &sock);
	if (!c) {
		clnt_pcreateerror("create");
		return 1;
	}
	rpc_gss_options_ret_t got;
	c->cl_auth = rpc_gss_seccreate(c, "host@localhost", "kerberos_v5", service, NULL, NULL, &got);
	if (!c->cl_auth) {
		printf("seccreate: major %#x minor %u\n", got.major_status, got.minor_status);
		return 1;
	}
	for (int i = 0; i < calls; i++) {
		char text[5000];
		memset(text, 'a' + i % 26, sizeof text);
		octets out = {text, (u_int)(i * 37 % sizeof text)}, in = {0};
		enum clnt_stat s = clnt_call(c, 1, (xdrproc_t)xdr_octets, (caddr_t)&out, (xdrproc_t)xdr_octets, (caddr_t)&in, wait);
		if (s != RPC_SUCCESS) {
			printf("call %d: %s\n", i, clnt_sperrno(s));
			return 1;
		}
		if (in.n != out.n || memcmp(in.p, out.p, in.n)) {
			printf("call %d: another answer\n", i);
			return 1;
		}
		clnt_freeres(c, (xdrproc_t)xdr_octets, (caddr_t)&in);
	}
	enum clnt_stat s = clnt_call(c, 99, (xdrproc_t)xdr_void, NULL, (xdrproc_t)xdr_void, NULL, wait);
	if (s != RPC_PROCUNAVAIL) {
		printf("procedure 99: %s\n", clnt_sperrno(s));
		return 1;
	}
	auth_destroy(c->cl_auth);
	clnt_destroy(c);
	printf("%d calls are fine\n", calls);
	return 0;
}

int main(int argc, char **argv) {
	if (argc == 2 && !strcmp(argv[1], "server"))
		return server();
	if (argc == 6 && !strcmp(argv[1], "client"))
		return client(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
	return 2;
}
