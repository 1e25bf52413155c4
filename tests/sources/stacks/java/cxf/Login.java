import org.apache.cxf.configuration.security.AuthorizationPolicy;
import org.apache.cxf.frontend.ClientProxy;
import org.apache.cxf.transport.http.HTTPConduit;
import org.apache.cxf.transport.http.auth.DefaultBasicAuthSupplier;
import org.apache.cxf.transport.http.auth.DigestAuthSupplier;

/** Credentials of CXF: it must be told which scheme the server demands. */
class Login {
    static void use(Object portal, String user, String password) {
        AuthorizationPolicy policy = new AuthorizationPolicy();
        policy.setUserName(user);
        policy.setPassword(password);
        HTTPConduit conduit = (HTTPConduit) ClientProxy.getClient(portal).getConduit();
        conduit.setAuthorization(policy);
        boolean isDigest = "digest".equals(System.getProperty("scheme"));
        conduit.setAuthSupplier(isDigest ? new DigestAuthSupplier() : new DefaultBasicAuthSupplier());
    }
}
